export { UsagePage } from "./usage/index.tsx";
