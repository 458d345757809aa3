// The page before the pages: no cookie, a link that is used up, or no relay.
import { openSession, type SignIn, signIn } from "../api/session.ts";
import { Cmd } from "../ui/basic.tsx";

const WORDS: Record<Exclude<SignIn, "in" | "asking">, [string, string]> = {
  out: [
    "Sign in",
    "Only the user who runs the relay may look at it. This command opens the page signed in; the banner of the relay shows the same link.",
  ],
  refused: [
    "This link does not sign in any more",
    "A link works once, and for five minutes. This command makes another one.",
  ],
  gone: [
    "The relay does not answer",
    "It may not be running. The first command starts it, the second one opens this page.",
  ],
};

export function SignInPage({ state }: { state: keyof typeof WORDS }) {
  const [title, text] = WORDS[state];
  return (
    <main id="main" class="signin">
      <div class="blank">
        <h1>{title}</h1>
        <p>{text}</p>
        {state === "gone" && <Cmd text="ccrelay serve" />}
        <Cmd text="ccrelay open" />
        <button
          type="button"
          class="btn primary"
          onClick={() => {
            signIn.value = "asking";
            void openSession();
          }}
        >
          Try again
        </button>
      </div>
    </main>
  );
}
