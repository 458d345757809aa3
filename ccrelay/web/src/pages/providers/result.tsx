// What an action brought.

/** What an action brought, or why the relay refused it. */
export function Result({ ok, text }: { ok: boolean; text: string }) {
  return (
    <p class={ok ? "note info pv-told" : "note fail pv-told"} role={ok ? "status" : "alert"}>
      <span>{text}</span>
    </p>
  );
}
