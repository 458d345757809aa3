export { SetupPage } from "./setup/index.tsx";
