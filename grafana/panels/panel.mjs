// What a dashboard is made of.

const panel = (kind) => (title, unit, description, queries, more = {}) => ({ kind, title, unit, description, queries, more });

/** A number, from one query. `more.limits`: from where on it is yellow and red; `more.lessIsWorse`: red below it. */
export const stat = panel("stat");

/** Lines over time. `more.limits` are drawn, too; `more.stack` puts them on top of each other. */
export const graph = panel("timeseries");

export const row = (title, panels) => ({ title, panels });

/** The 50th and the 99th of a hundred of a histogram. */
export const quantiles = (bucket, by = "") =>
  [0.5, 0.99].map((q) => [`histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${bucket}[$__rate_interval])))`, `${by && `{{${by}}} `}p${q * 100}`]);
