// Draws the plots of a bench report with uPlot. page-assets.ts inlines it as a classic script.
// The elements `plots` (JSON, see plots.ts) and one element per plot are in the page.
'use strict';

// A block, so that no name becomes global.
{
  const plots = JSON.parse(document.getElementById('plots').textContent);
  const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 2 });
  const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';
  const HEIGHT = 300;

  // A canvas does not resolve custom properties. Each drawing looks the colours up, so the plots
  // also follow a change of the colour scheme.
  const colour = (name) =>
    getComputedStyle(document.documentElement)
      .getPropertyValue('--' + name)
      .trim();
  const stroke = (name) => () => colour(name);
  const tint = (name, alpha) => () => colour(name) + alpha;

  const three = (value) => value.toLocaleString('en-US', { maximumSignificantDigits: 3 });
  const formatUs = (us) => {
    if (us < 999.5) return three(us) + ' µs';
    return us < 999500 ? three(us / 1e3) + ' ms' : three(us / 1e6) + ' s';
  };
  const formatBytes = (bytes) => {
    if (bytes === 0) return '0';
    const step = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
    const value = bytes / 2 ** (10 * step);
    return (
      value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 2 : 0 }) +
      ' ' +
      ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][step]
    );
  };
  const formatTime = (seconds) =>
    seconds < 0.1 ? formatUs(seconds * 1e6) : seconds.toFixed(2) + ' s';
  // Labels of neighbouring ticks differ: as many digits as the step between two of them needs.
  const byStep = (plot, splits) => {
    const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
    const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
    return splits.map((value) => value.toFixed(digits));
  };
  const unlessNull = (format) => (plot, value) => (value == null ? '' : format(value));

  const axis = (options) => ({
    stroke: stroke('muted'),
    font: FONT,
    labelFont: FONT,
    labelSize: 20,
    grid: { stroke: stroke('grid'), width: 1 },
    ticks: { stroke: stroke('grid'), width: 1, size: 4 },
    ...options,
  });
  const series = (name, options) => ({
    stroke: stroke(name),
    width: 2,
    points: { show: false },
    colour: name,
    ...options,
  });
  // The smallest range with zero and a margin above the highest value.
  const fromZero = (plot, min, max) => [0, max > 0 ? max * 1.08 : 1];

  function draw(id, data, options) {
    const target = document.getElementById(id);
    const marker = (plot, index) => 'var(--' + plot.series[index].colour + ')';
    const plot = new uPlot(
      {
        width: target.clientWidth,
        height: HEIGHT,
        cursor: { y: false, points: { size: 7, fill: marker, stroke: marker } },
        legend: { markers: { width: 0, fill: marker } },
        ...options,
      },
      data,
      target,
    );
    new ResizeObserver(() => {
      plot.setSize({ width: target.clientWidth, height: HEIGHT });
    }).observe(target);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw());
  }

  function drawRamp([seconds, opened, failed, rate]) {
    const hasFailed = failed.some((count) => count > 0);
    const lines = [
      { label: 'Time', value: unlessNull(formatTime) },
      series('first', {
        label: 'Opened',
        fill: tint('first', '22'),
        value: unlessNull(whole.format),
      }),
      series('second', {
        label: 'Rate',
        scale: 'rate',
        width: 1.5,
        paths: uPlot.paths.stepped({ align: -1 }),
        value: unlessNull((value) => whole.format(value) + ' /s'),
      }),
    ];
    if (hasFailed) {
      lines.push(series('bad', { label: 'Failed', value: unlessNull(whole.format) }));
    }
    draw('ramp', hasFailed ? [seconds, opened, rate, failed] : [seconds, opened, rate], {
      scales: { x: { time: false }, y: { range: fromZero }, rate: { range: fromZero } },
      series: lines,
      axes: [
        axis({ label: 'Time since the first connect (s)', size: 32, values: byStep }),
        axis({
          label: 'Connections',
          size: 56,
          values: (plot, splits) => splits.map((value) => compact.format(value)),
        }),
        axis({
          label: 'Connections per second',
          size: 56,
          scale: 'rate',
          side: 1,
          stroke: stroke('second'),
          grid: { show: false },
          values: (plot, splits) => splits.map((value) => compact.format(value)),
        }),
      ],
    });
  }

  function drawMemory([seconds, both, user, connections]) {
    const each = (bytes, index) =>
      formatBytes(bytes) +
      (connections[index] > 0
        ? ' (' + whole.format(bytes / connections[index]) + ' bytes each)'
        : '');
    const powers = Array.from({ length: 50 }, (_, power) => 2 ** power);
    draw('memory', [seconds, both, user], {
      scales: { x: { time: false }, y: { range: fromZero } },
      series: [
        { label: 'Time', value: unlessNull(formatTime) },
        series('first', {
          label: 'Kernel',
          value: (plot, value, s, index) => (value == null ? '' : each(value - user[index], index)),
        }),
        series('second', {
          label: 'User',
          fill: tint('second', '66'),
          value: (plot, value, s, index) => (value == null ? '' : each(value, index)),
        }),
      ],
      bands: [{ series: [1, 2], fill: tint('first', '2e') }],
      axes: [
        axis({ label: 'Time since the first connect (s)', size: 32, values: byStep }),
        axis({
          label: 'Memory',
          size: 72,
          incrs: powers,
          values: (plot, splits) => splits.map(formatBytes),
        }),
      ],
    });
  }

  function drawFanout({ columns, names }) {
    const colours = ['first', 'second'];
    const formatMs = (ms) => formatUs(ms * 1e3);
    draw('fanout', columns, {
      scales: { x: { time: false }, y: { range: () => [0, 108] } },
      series: [
        { label: 'Time', value: unlessNull(formatMs) },
        ...names.map((label, index) =>
          series(colours[index], {
            label,
            fill: index === 0 ? tint('first', '22') : undefined,
            paths: uPlot.paths.stepped({ align: 1 }),
            value: unlessNull((percent) => three(percent) + ' %'),
          }),
        ),
      ],
      axes: [
        axis({ label: 'Time since the first delivery (ms)', size: 32, values: byStep }),
        axis({
          label: 'Subscribers reached',
          size: 56,
          splits: () => [0, 25, 50, 75, 100],
          values: (plot, splits) => splits.map((value) => value + ' %'),
        }),
      ],
    });
  }

  // 1, 2 and 5 of every visible decade; uPlot would label the decades only.
  function logSplits(plot, axisIndex, min, max) {
    const splits = [];
    for (let decade = Math.floor(Math.log10(min)); 10 ** decade <= max; decade += 1) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** decade;
        if (value >= min && value <= max) splits.push(value);
      }
    }
    return splits;
  }

  // Every split has a grid line, but only labels that do not overlap are shown.
  function logLabels(plot, splits) {
    const { min, max } = plot.scales.x;
    const decade = plot.bbox.width / devicePixelRatio / Math.log10(max / min);
    const every = decade > 60 ? 1 : 2;
    return splits.map((value) => {
      const power = Math.log10(value);
      const isDecade = Math.abs(power - Math.round(power)) < 1e-9;
      if (!isDecade) return decade > 190 ? formatUs(value) : '';
      return Math.round(power) % every === 0 ? formatUs(value) : '';
    });
  }

  function drawPercentiles(plot, measured) {
    const { ctx, bbox } = plot;
    const pixel = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = pixel;
    ctx.setLineDash([4 * pixel, 4 * pixel]);
    ctx.font = 11 * pixel + 'px system-ui, sans-serif';
    ctx.textAlign = 'left';
    ctx.textBaseline = 'top';
    measured.forEach(({ p50Us, p99Us }, index) => {
      const line = plot.series[index + 1];
      ctx.strokeStyle = ctx.fillStyle = colour(line.colour);
      for (const [name, us] of line.show
        ? [
            ['p50', p50Us],
            ['p99', p99Us],
          ]
        : []) {
        const x = plot.valToPos(us, 'x', true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        // One line of labels for each measurement, so that equal percentiles do not overlap.
        ctx.fillText(name, x + 4 * pixel, bbox.top + 14 * index * pixel);
      }
    });
    ctx.restore();
  }

  function drawLatency({ columns, series: measured }) {
    const starts = columns[0];
    const colours = ['first', 'second'];
    const bin = (us, index) =>
      formatUs(us) + (index + 1 < starts.length ? ' to ' + formatUs(starts[index + 1]) : '');
    draw('latency', columns, {
      scales: {
        x: { time: false, distr: 3, log: 10, range: (plot, min, max) => [min, max] },
        // A margin for the names of the percentiles.
        y: { range: (plot, min, max) => [0, max * 1.2] },
      },
      series: [
        { label: 'Time', value: (plot, us, s, index) => (us == null ? '' : bin(us, index)) },
        ...measured.map(({ name }, index) =>
          series(colours[index], {
            label: name,
            width: 1.5,
            fill: tint(colours[index], '33'),
            paths: uPlot.paths.stepped({ align: 1 }),
            value: unlessNull((percent) => three(percent) + ' %'),
          }),
        ),
      ],
      axes: [
        axis({
          label: 'Latency (log scale)',
          size: 32,
          splits: logSplits,
          filter: (plot, splits) => splits,
          values: logLabels,
        }),
        axis({
          label: 'Share of requests',
          size: 52,
          values: (plot, splits) => splits.map((value) => three(value) + ' %'),
        }),
      ],
      hooks: { draw: [(plot) => drawPercentiles(plot, measured)] },
    });
  }

  if (plots.ramp) drawRamp(plots.ramp);
  if (plots.fanout) drawFanout(plots.fanout);
  if (plots.memory) drawMemory(plots.memory);
  if (plots.latency) drawLatency(plots.latency);
}
