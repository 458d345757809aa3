export { ConfigPage } from "./config/index.tsx";
