import { render } from "preact";
import { follow } from "./api/live.ts";
import { followRunning } from "./api/running.ts";
import { openSession } from "./api/session.ts";
import { App } from "./app.tsx";
import "@preact/signals"; // components that read a signal are drawn again when it changes
import "./styles/index.css";
import "./lib/theme.ts";

void openSession();
follow();
followRunning();

const root = document.getElementById("app");
if (root) render(<App />, root);
