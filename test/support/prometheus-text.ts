// Prometheus text 0.0.4, read and checked by its rules.

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Metric {
  readonly help: string;
  type: string;
  readonly samples: Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const HELP_LINE = new RegExp(`^# HELP (${NAME}) (\\S.*)$`);
const TYPE_LINE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`);
const SAMPLE_LINE = new RegExp(
  `^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?|\\+Inf|Nan)$`,
);

function toNumber(text: string): number {
  return text === '+Inf' ? Infinity : Number(text);
}

/** Reads Prometheus text 0.0.4 by its rules, and throws at the first line that breaks one. */
export function parseMetrics(text: string): Map<string, Metric> {
  const metrics = new Map<string, Metric>();
  let current: [string, Metric] | undefined;
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const help = HELP_LINE.exec(line);
    const type = TYPE_LINE.exec(line);
    const sample = SAMPLE_LINE.exec(line);
    if (help !== null) {
      const [, name = '', words = ''] = help;
      if (metrics.has(name)) throw new Error(`two HELP lines: ${line}`);
      current = [name, { help: words, type: '', samples: [] }];
      metrics.set(...current);
    } else if (type !== null) {
      if (current?.[0] !== type[1] || current?.[1].type !== '') {
        throw new Error(`TYPE without its HELP: ${line}`);
      }
      current[1].type = type[2] ?? '';
    } else if (sample !== null && current !== undefined) {
      const [, name = '', labels = '', value = ''] = sample;
      const suffix = current[1].type === 'histogram' ? /^(_bucket|_count|_sum)$/ : /^$/;
      if (!name.startsWith(current[0]) || !suffix.test(name.slice(current[0].length))) {
        throw new Error(`a sample of another metric than ${current[0]}: ${line}`);
      }
      const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="([^"]*)"/g)];
      current[1].samples.push({
        name,
        labels: Object.fromEntries(pairs.map(([, key = '', word = '']) => [key, word])),
        value: toNumber(value),
      });
    } else {
      throw new Error(`no line of this format: ${line}`);
    }
  }
  return metrics;
}

/** Names of the metrics that break a rule of their type. */
export function unfit(metrics: ReadonlyMap<string, Metric>): string[] {
  const isFit = ([name, { type, samples }]: [string, Metric]): boolean => {
    if (type === '' || samples.length === 0) return false;
    if (type === 'counter') {
      return name.endsWith('_total') && samples.every(({ value }) => value >= 0);
    }
    if (type === 'gauge') return !name.endsWith('_total');
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
    const count = samples.find((sample) => sample.name === `${name}_count`)?.value;
    const limits = buckets.map(({ labels }) => toNumber(labels['le'] ?? ''));
    const isRising = (values: readonly number[], least: number): boolean =>
      values.every((value, index) => index === 0 || value - (values[index - 1] ?? 0) >= least);
    return (
      isRising(limits.slice(0, -1), Number.MIN_VALUE) &&
      limits.at(-1) === Infinity &&
      buckets.at(-1)?.value === count &&
      isRising(
        buckets.map(({ value }) => value),
        0,
      )
    );
  };
  return [...metrics].filter((metric) => !isFit(metric)).map(([name]) => name);
}
