// What can be set up, and what each needs to be told.
import type { Found } from "../../api/gen/ccrelay/v1/setup_pb.ts";

export interface Kind {
  type: string;
  label: string;
  /** Whether a key is pasted. */
  hasKey: boolean;
  hasUrl?: boolean;
  /** Other settings: name and label. */
  settings?: readonly (readonly [string, string])[];
  /** Whether its models have names of their own, so that Claude's names are mapped to one. */
  isMapped?: boolean;
}

export const KINDS: readonly Kind[] = [
  { type: "anthropic", label: "Anthropic", hasKey: true },
  { type: "zai", label: "Z.AI", hasKey: true, isMapped: true },
  { type: "openrouter", label: "OpenRouter", hasKey: true, isMapped: true },
  { type: "minimax", label: "MiniMax", hasKey: true, isMapped: true },
  { type: "kimi", label: "Moonshot Kimi", hasKey: true, isMapped: true },
  { type: "deepseek", label: "DeepSeek", hasKey: true, isMapped: true },
  { type: "compatible", label: "Another service with Anthropic's API", hasKey: true, hasUrl: true, isMapped: true },
  { type: "ollama", label: "Ollama, on this machine", hasKey: false, hasUrl: true, isMapped: true },
  { type: "bedrock", label: "Amazon Bedrock", hasKey: false, settings: [["region", "Region"], ["profile", "AWS profile"]] },
  { type: "vertex", label: "Google Vertex AI", hasKey: false, settings: [["project", "Project"], ["location", "Location"]] },
  { type: "azure", label: "Microsoft Foundry", hasKey: true, settings: [["resource", "Resource"]] },
];

export function kindOf(type: string): Kind {
  return KINDS.find((one) => one.type === type) ?? { type, label: type, hasKey: true, hasUrl: true };
}

/** The source of a key that stands in the environment is the name of its variable. */
export function variableOf(found: Found): string {
  return /^[A-Z][A-Z0-9_]*$/.test(found.source) ? found.source : "";
}

/** A login of Claude Code is not taken: it passes through. */
export function isLogin(found: Found): boolean {
  return found.type === "anthropic" && !variableOf(found);
}

/** Whether its models have names of their own. */
export function isMapped(type: string): boolean {
  return kindOf(type).isMapped === true;
}
