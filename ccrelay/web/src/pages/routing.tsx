export { RoutingPage } from "./routing/index.tsx";
