// What was set at run time: to be written to the file, or dropped.
import { api } from "../../api/client.ts";
import type { Provider } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { now } from "../../api/live.ts";
import { moment } from "../../lib/format.ts";
import { useLoad } from "../../lib/load.ts";
import { ActButton } from "../../ui/basic.tsx";
import { dropOverrides, OVERRIDES, told, writeOverrides } from "./actions.ts";
import { Result } from "./result.tsx";

export function Overrides({ providers }: { providers: readonly Provider[] }) {
  const loaded = useOverrides(providers);
  const all = loaded.data?.overrides ?? [];
  const result = told.value.get(OVERRIDES);
  return (
    <section class="panel">
      <header>
        <h2>Set at run time</h2>
        {all.length > 0 && (
          <div class="end">
            <ActButton onClick={() => writeOverrides([], loaded.reload)}>Write all to the file</ActButton>
          </div>
        )}
      </header>
      {result && <Result ok={result.ok} text={result.text} />}
      {loaded.problem && !loaded.data && <p class="body fail">{loaded.problem.text}</p>}
      {loaded.data && !all.length && (
        <p class="body q2">Nothing: all is as the file says. What is changed here stands in this list.</p>
      )}
      {all.length > 0 && (
        <div class="tb">
          <table>
            <thead>
              <tr>
                <th class="elide">Setting</th>
                <th>Is</th>
                <th>In the file</th>
                <th class="opt-a">Since</th>
                <th class="n">
                  <span class="vh">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {all.map((one) => (
                <tr key={one.id}>
                  <td class="elide" title={one.id}>
                    <bdi>{one.id}</bdi>
                  </td>
                  <td>
                    <b>{one.value}</b>
                  </td>
                  <td class="q2">{one.fileValue}</td>
                  <td class="q opt-a">{moment(one.setAtMs, now())}</td>
                  <td class="n">
                    <span class="pv-quick">
                      <ActButton label={`Write ${one.id} to the file`} onClick={() => writeOverrides([one.id], loaded.reload)}>
                        Write
                      </ActButton>
                      <ActButton label={`Drop ${one.id}`} onClick={() => dropOverrides([one.id], loaded.reload)}>
                        Drop
                      </ActButton>
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {all.length > 0 && <footer>It holds over reloads, until the relay ends.</footer>}
    </section>
  );
}

/** Overrides, again whenever the state of a provider changes. */
function useOverrides(providers: readonly Provider[]) {
  const mark = providers
    .flatMap((one) => [one.overrides, ...one.keys.map((key) => key.overrides)])
    .flat()
    .map((one) => `${one.id}=${one.value}@${one.setAtMs}`)
    .join();
  return useLoad((signal) => api.providers.listOverrides({}, { signal }), [mark]);
}
