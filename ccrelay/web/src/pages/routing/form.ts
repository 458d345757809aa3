// The form of Explain: its fields, the request, the command and the address they stand for.

import { quote } from "../../lib/shell.ts";

export interface Form {
  model: string;
  trafficClass: string;
  tokens: string;
  images: boolean;
  /** "": as usual for the class. */
  thinking: "" | "yes" | "no";
  tools: "" | "yes" | "no";
  /** One `name: value` per line. */
  headers: string;
  session: string;
}

export const EMPTY: Form = {
  model: "",
  trafficClass: "",
  tokens: "",
  images: false,
  thinking: "",
  tools: "",
  headers: "",
  session: "",
};

export const CLASSES = ["main", "subagent", "background", "compaction", "web-search", "count_tokens"];

const TOKENS_MAX = 4_294_967_295;

export interface Asked {
  model: string;
  trafficClass: string;
  tokens: number;
  images: boolean;
  thinking?: boolean;
  tools?: boolean;
  headers: Record<string, string>;
  session: string;
}

/** What the form asks; or what is wrong with it, in one sentence. */
export function asked(form: Form): Asked | string {
  const model = form.model.trim();
  if (!model) return "Name a model.";
  const tokens = form.tokens.trim() ? readTokens(form.tokens) : 0;
  if (tokens === null) return "Input tokens are a number, such as 184,000 or 184k.";
  const headers: Record<string, string> = {};
  for (const line of form.headers.split("\n")) {
    if (!line.trim()) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 1 || !name) return `${JSON.stringify(line.trim())} is not \`name: value\`.`;
    headers[name] = line.slice(colon + 1).trim();
  }
  const found: Asked = {
    model,
    trafficClass: form.trafficClass,
    tokens,
    images: form.images,
    headers,
    session: form.session.trim(),
  };
  if (form.thinking) found.thinking = form.thinking === "yes";
  if (form.tools) found.tools = form.tools === "yes";
  return found;
}

/** `184,000`, `184 000`, `184k`, `1.5M` as a number; null: it is none. */
export function readTokens(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([kKmM]?)$/.exec(text.replace(/[\s,_]/g, ""));
  if (!match) return null;
  const unit = { k: 1e3, m: 1e6 }[(match[2] ?? "").toLowerCase()] ?? 1;
  const number = Math.round(Number(match[1]) * unit);
  return number <= TOKENS_MAX ? number : null;
}

/** The command that asks the same. */
export function command(form: Form): string {
  const found = asked(form);
  const words = ["ccrelay route explain"];
  if (typeof found === "string") return `${words[0]} --model ${quote(form.model || "MODEL")}`;
  words.push(`--model ${quote(found.model)}`);
  if (found.trafficClass) words.push(`--class ${quote(found.trafficClass)}`);
  if (found.tokens) words.push(`--tokens ${found.tokens}`);
  if (found.images) words.push("--images");
  if (found.thinking !== undefined) words.push(found.thinking ? "--thinking" : "--no-thinking");
  if (found.tools !== undefined) words.push(found.tools ? "--tools" : "--no-tools");
  for (const [name, value] of Object.entries(found.headers)) {
    words.push(`--header ${quote(`${name}: ${value}`)}`);
  }
  if (found.session) words.push(`--session ${quote(found.session)}`);
  return words.join(" ");
}

/** Parameters of the address; only what differs from an empty form. */
export function toParams(form: Form): Record<string, string> {
  const found: Record<string, string> = {};
  const put = (name: string, value: string): void => {
    if (value) found[name] = value;
  };
  put("model", form.model);
  put("class", form.trafficClass);
  put("tokens", form.tokens);
  put("images", form.images ? "yes" : "");
  put("thinking", form.thinking);
  put("tools", form.tools);
  put("headers", form.headers);
  put("session", form.session);
  return found;
}

export function fromParams(params: Readonly<Record<string, string | undefined>>): Form {
  const choice = (value: string | undefined): "" | "yes" | "no" =>
    value === "yes" || value === "no" ? value : "";
  return {
    model: params["model"] ?? "",
    trafficClass: CLASSES.includes(params["class"] ?? "") ? (params["class"] ?? "") : "",
    tokens: params["tokens"] ?? "",
    images: params["images"] === "yes",
    thinking: choice(params["thinking"]),
    tools: choice(params["tools"]),
    headers: params["headers"] ?? "",
    session: params["session"] ?? "",
  };
}
