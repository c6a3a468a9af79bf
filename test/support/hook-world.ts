// A comet server whose clients an application decides about.
import type { Test } from 'tap';

import type { ServerOptions } from '../../lib/index.js';
import { startComet, type World } from './comet-world.js';
import { HookServer } from './hook-server.js';

export interface HookWorld extends World {
  readonly hook: HookServer;
}

export async function startHooked(t: Test, options: ServerOptions = {}): Promise<HookWorld> {
  const hook = await HookServer.start(t);
  const world = await startComet(t, { workers: 1, ...hook.options, ...options });
  return { ...world, hook };
}
