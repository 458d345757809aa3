// Which page is shown.
import { useEffect } from "preact/hooks";
import { signIn } from "./api/session.ts";
import { type PageName, PAGES, pageName } from "./lib/router.ts";
import { ConfigPage } from "./pages/config.tsx";
import { ExchangesPage } from "./pages/exchanges.tsx";
import { NowPage } from "./pages/now.tsx";
import { ProvidersPage } from "./pages/providers.tsx";
import { RoutingPage } from "./pages/routing.tsx";
import { SessionsPage } from "./pages/sessions.tsx";
import { SetupPage } from "./pages/setup.tsx";
import { SignInPage } from "./pages/signin.tsx";
import { UsagePage } from "./pages/usage.tsx";
import { Shell } from "./ui/shell.tsx";

const SHOWN: Record<PageName, () => preact.JSX.Element | null> = {
  now: NowPage,
  exchanges: ExchangesPage,
  usage: UsagePage,
  sessions: SessionsPage,
  providers: ProvidersPage,
  routing: RoutingPage,
  config: ConfigPage,
  setup: SetupPage,
};

export function App() {
  const state = signIn.value;
  const page = pageName.value;
  useEffect(() => {
    const title = PAGES.find(([name]) => name === page)?.[1] ?? "First run";
    document.title = `${title} · ccrelay`;
    scrollTo(0, 0);
  }, [page]);
  if (state === "out" || state === "refused" || state === "gone") return <SignInPage state={state} />;
  const Page = SHOWN[page];
  return <Shell>{state === "in" && <Page key={page} />}</Shell>;
}
