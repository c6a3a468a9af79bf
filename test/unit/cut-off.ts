// A server that is cut off from its engine: when it closes its clients, and when it admits them again.
import t from 'tap';

import { CUT_OFF_MS, CutOff } from '../../lib/broker/cut-off.js';
import { encodeFrame } from '../../lib/ipc/frame-codecs.js';
import { ManualClock } from '../support/manual-clock.js';

const CHECK_MS = 250;
const ON = encodeFrame('CutOff', { isOn: 1, closeMs: 10_000 });

/** A server whose tick the test sets, and that checks four times a second. */
class World {
  readonly clock = new ManualClock(1000);
  readonly sent: string[] = [];
  readonly changes: boolean[] = [];
  /** When it read its own last tick; null before its log is open. */
  tickedAtMs: number | null = this.clock.nowMs();
  readonly cutOff = new CutOff({
    now: () => this.clock.nowMs(),
    tickAgeMs: () => (this.tickedAtMs === null ? null : this.clock.nowMs() - this.tickedAtMs),
    lines: {
      send: (frame, slots) => {
        this.sent.push(...slots.map((slot) => `${slot} ${frame.equals(ON) ? 'on' : 'off'}`));
      },
    },
    slots: () => [0, 1],
    onChange: (isOn) => {
      this.changes.push(isOn);
    },
  });

  constructor() {
    this.clock.every(CHECK_MS, () => {
      this.cutOff.check();
    });
    this.clock.advance(CHECK_MS);
  }

  tick(): void {
    this.tickedAtMs = this.clock.nowMs();
  }
}

t.test('clients are closed 15 s after the last tick, once, and admitted at the next', (t) => {
  const world = new World();
  world.tick();
  world.clock.advance(CUT_OFF_MS - CHECK_MS);
  t.same(world.sent, []);
  world.clock.advance(60_000);
  t.same(world.sent, ['0 on', '1 on'], 'a frame for each worker');
  t.same(world.cutOff.frames(), [ON], 'a worker that starts meanwhile knows');
  world.tick();
  world.clock.advance(CHECK_MS);
  t.same(world.sent.slice(2), ['0 off', '1 off']);
  t.same(world.cutOff.frames(), []);
  world.clock.advance(CUT_OFF_MS);
  t.same(world.changes, [true, false, true], 'the next interruption counts anew');
  t.end();
});

t.test('ticks that return within 15 s close nothing', (t) => {
  const world = new World();
  for (let count = 0; count < 10; count++) {
    world.clock.advance(CUT_OFF_MS - 2 * CHECK_MS);
    world.tick();
  }
  t.same(world.changes, []);
  t.end();
});

t.test('a process that was stopped itself closes nothing when it runs again', (t) => {
  const world = new World();
  world.clock.jump(60_000);
  world.clock.advance(CHECK_MS);
  t.same(world.changes, [], 'its tick may be on the way');
  world.clock.advance(CUT_OFF_MS - 2 * CHECK_MS);
  t.same(world.changes, []);
  world.clock.advance(2 * CHECK_MS);
  t.same(world.changes, [true], 'unless it does not return within 15 s');
  world.clock.jump(60_000);
  world.clock.advance(CHECK_MS);
  t.same(world.changes, [true], 'a pause does not end the interruption');
  t.end();
});

t.test('a log that is not open, and a server that keeps its clients, close nothing', (t) => {
  const world = new World();
  world.tickedAtMs = null;
  world.clock.advance(60_000);
  t.same(world.changes, []);
  const keeping = new CutOff(null);
  keeping.check();
  t.same(keeping.frames(), []);
  t.end();
});
