// Single exchanges as a file that the browser saves.
import { signal } from "@preact/signals";
import { api, problemOf } from "../../api/client.ts";
import { ExportFormat } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { say } from "../../lib/copy.ts";
import { size } from "../../lib/format.ts";

/** Bytes that have come of an export under way; -1: none is. */
export const coming = signal(-1);

let control: AbortController | null = null;

/** Ends an export; nothing is saved. */
export function stopExport(): void {
  control?.abort();
}

export async function exportFile(form: "csv" | "jsonl", sinceMs: number, filter: string): Promise<void> {
  if (control) return;
  control = new AbortController();
  coming.value = 0;
  const format = form === "csv" ? ExportFormat.CSV : ExportFormat.JSON_LINES;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  try {
    const pieces = api.usage.export({ format, sinceMs: BigInt(sinceMs), filter }, { signal: control.signal });
    for await (const piece of pieces) {
      parts.push(piece.data as Uint8Array<ArrayBuffer>);
      coming.value += piece.data.length;
    }
    save(new Blob(parts, { type: form === "csv" ? "text/csv" : "application/jsonl" }), form);
    say(`Saved: ${size(coming.value)}.`);
  } catch (error) {
    say(control.signal.aborted ? "Stopped: nothing was saved." : problemOf(error).text);
  }
  control = null;
  coming.value = -1;
}

function save(blob: Blob, form: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `ccrelay-${new Date().toISOString().slice(0, 10)}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
