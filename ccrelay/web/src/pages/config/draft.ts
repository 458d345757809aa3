// The text under work. It lives as long as the page, not in the browser's storage: a secret may be
// typed into it.
import { signal } from "@preact/signals";
import type { ConfigGetResponse } from "../../api/gen/ccrelay/v1/config_pb.ts";
import { withEndsOf } from "./words.ts";

export interface Draft {
  /** The file as it was when work began. */
  base: ConfigGetResponse;
  text: string;
}

/** Null: nothing was changed. */
export const draft = signal<Draft | null>(null);

/** Takes what was typed, with the ends of lines of the file; a text that is the file's again is no draft. */
export function type(base: ConfigGetResponse, typed: string): void {
  const from = draft.value?.base ?? base;
  const text = withEndsOf(from.text, typed);
  draft.value = text === from.text ? null : { base: from, text };
}

addEventListener("beforeunload", (event) => {
  if (draft.value) event.preventDefault();
});
