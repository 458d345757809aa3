// A question before something that stops traffic.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

interface Question {
  title: string;
  text: string;
  /** On the button that does it. */
  yes: string;
  act: () => void;
}

const question = signal<Question | null>(null);

/** Asks; `act` is called when the answer is yes. */
export function confirm(asked: Question): void {
  question.value = asked;
}

/** The dialog; once per page that asks. */
export function Confirm() {
  const dialog = useRef<HTMLDialogElement>(null);
  const asked = question.value;
  useEffect(() => {
    if (asked) dialog.current?.showModal();
    else dialog.current?.close();
  }, [asked]);
  useEffect(() => () => void (question.value = null), []);
  return (
    <dialog
      ref={dialog}
      class="cfm"
      aria-labelledby="cfm-title"
      onClose={() => (question.value = null)}
      onKeyDown={(event) => event.stopPropagation()}
    >
      {asked && (
        <>
          <h2 id="cfm-title">{asked.title}</h2>
          <p class="q2">{asked.text}</p>
          <div class="row cfm-end">
            <button type="button" class="btn" onClick={() => (question.value = null)}>
              Leave it
            </button>
            <button
              type="button"
              class="btn primary"
              onClick={() => {
                question.value = null;
                asked.act();
              }}
            >
              {asked.yes}
            </button>
          </div>
        </>
      )}
    </dialog>
  );
}
