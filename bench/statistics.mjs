// Figures from samples. Compare medians of rounds: a single time proves nothing.
const sorted = (values) => values.toSorted((a, b) => a - b);

export function quantile(values, q) {
  const order = sorted(values);
  return order.length === 0 ? Number.NaN : order[Math.min(order.length - 1, Math.floor(order.length * q))];
}

export const median = (values) => quantile(values, 0.5);
export const summary = (values) => ({
  n: values.length,
  min: quantile(values, 0),
  p50: median(values),
  p95: quantile(values, 0.95),
});
/** The median of each field over the rounds. */
export function medianOf(rounds) {
  const fields = Object.keys(rounds[0] ?? {}).filter((name) => typeof rounds[0][name] === 'number');
  return Object.fromEntries(fields.map((name) => [name, median(rounds.map((round) => round[name]))]));
}
