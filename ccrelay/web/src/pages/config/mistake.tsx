// The mistake that keeps the file from being taken over, with the lines around it.
import { Icon } from "../../ui/basic.tsx";
import { Pieces } from "./editor.tsx";
import { placeOf } from "./words.ts";

interface Props {
  problem: string;
  text: string;
  format: string;
  file: string;
  onGo: (line: number, column: number) => void;
}

export function Mistake({ problem, text, format, file, onGo }: Props) {
  const place = placeOf(problem);
  const name = file.split("/").at(-1) ?? file;
  const message = place ? problem.replace(/^.*?:\d+(?::\d+)?:? /, "") : problem;
  const all = text.split("\n");
  const from = place ? Math.max(1, place.line - 3) : 1;
  const shown = place ? all.slice(from - 1, place.line + 1) : [];
  return (
    <section class="panel cf-mistake" aria-label="The mistake">
      <header>
        <span class="state fail">
          <Icon name="err" />
          <b>{place ? `${name}:${place.line}${place.column ? `:${place.column}` : ""}` : name}</b>
        </span>
        {place && (
          <div class="end">
            <button class="btn" type="button" onClick={() => onGo(place.line, place.column)}>
              Go to line {place.line}
            </button>
          </div>
        )}
      </header>
      {place ? (
        <pre class="code cf-around" tabIndex={0} role="region" aria-label="What the file says there">
          {shown.map((line, i) => {
            const isBad = from + i === place.line;
            return (
              <>
                <span class={isBad ? "cf-ln bad" : "cf-ln"}>
                  <span class="dv-no">{from + i}</span>
                  <Pieces text={line} format={format} />
                </span>
                {isBad && <span class="msg">{message}</span>}
              </>
            );
          })}
        </pre>
      ) : (
        <p class="body fail">{message}</p>
      )}
    </section>
  );
}
