export { ProvidersPage } from "./providers/index.tsx";
