// Sparklines: the shape of a figure over time. What they say stands beside them as text.

const WIDTH = 72;
const HEIGHT = 24;

export function Bars({ values }: { values: readonly number[] }) {
  if (values.length < 2) return null;
  const most = Math.max(...values, 1);
  const step = WIDTH / values.length;
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      {values.map((value, at) => {
        const height = (value / most) * (HEIGHT - 1);
        const isLast = at === values.length - 1;
        return (
          <rect
            key={at}
            class={isLast ? "on" : undefined}
            x={(at * step).toFixed(1)}
            y={(HEIGHT - height).toFixed(1)}
            width={(step * 0.75).toFixed(1)}
            height={height.toFixed(1)}
          />
        );
      })}
    </svg>
  );
}

export function Line({ values }: { values: readonly number[] }) {
  if (values.length < 3) return null;
  const most = Math.max(...values);
  const least = Math.min(...values, 0);
  const scale = most > least ? (HEIGHT - 4) / (most - least) : 0;
  const points = values.map((value, at) => {
    const x = (at / (values.length - 1)) * WIDTH;
    return `${x.toFixed(1)} ${(HEIGHT - 2 - (value - least) * scale).toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      <path d={`M${points.join(" ")}`} />
    </svg>
  );
}
