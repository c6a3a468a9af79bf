// The packaged unit with this program, under a systemd of the test.
import { join } from 'node:path';
import type { Test } from 'tap';

import { obstacleTo } from '../../../lib/cli/commands/install-service.js';
import { PACKAGED, serviceUnit, socketUnit, type UnitPlan } from '../../../lib/systemd/units.js';
import { freePort, root } from '../helpers.js';
import { Systemd } from './systemd.js';

/** Whether the sandbox of the unit hides the checkout, or Node. */
const isHidden = [process.execPath, root].some((file) => obstacleTo(file) !== null);

/** Without a journal the log is a file. */
const LOG = 'StandardOutput=append:%t/log\n';

export interface Setup {
  /** Values of MEGACOMET_ variables. */
  readonly options?: Readonly<Record<string, string>>;
  readonly adminTokenFile?: string | null;
  readonly certificates?: UnitPlan['certificates'];
}

export type Units = Readonly<Record<string, string>>;

/** The packaged unit with this program. The manager of a user cannot create dynamic users. */
function unitsFor(port: number, setup: Setup): Units {
  const { options = {}, adminTokenFile = null, certificates = [] } = setup;
  const plan = {
    ...PACKAGED,
    ...{ adminTokenFile, certificates },
    command: [process.execPath, join(root, 'lib/bin.js')] as const,
    listen: [`127.0.0.1:${port}`],
  };
  const all = { WORKERS: '2', ADMIN_PORT: '0', DRAIN: '0', LOG_LEVEL: 'debug', ...options };
  const environment = Object.entries(all).map(([name, value]) => {
    return `Environment=MEGACOMET_${name}=${value}\n`;
  });
  const service = serviceUnit(plan)
    .replace(/^DynamicUser=yes$/m, `User=nobody\n${environment.join('')}${LOG}`)
    .replace(/^WatchdogSec=.*$/m, 'WatchdogSec=3')
    .replace(/^RestartSec=.*$/m, 'RestartSec=1')
    .replace(/^TimeoutStopSec=.*$/m, 'TimeoutStopSec=1')
    .replace(/^(PrivateTmp|ProtectHome)=yes$/gm, isHidden ? '' : '$&');
  return { 'megacomet.service': service, 'megacomet.socket': socketUnit(plan) };
}

/** Starts the socket and the service; returns its port. */
export async function startService(
  t: Test,
  setup: Setup = {},
  adapt = (units: Units): Units => units,
  isSystem = false,
): Promise<[Systemd, number]> {
  const port = await freePort();
  const systemd = await Systemd.start(t, adapt(unitsFor(port, setup)), isSystem);
  t.not(
    await systemd.systemctl('start', 'megacomet.socket'),
    undefined,
    'systemd starts the socket',
  );
  const started = await systemd.systemctl('start', 'megacomet.service');
  t.not(started, undefined, 'systemctl start returns, so READY=1 arrived');
  return [systemd, port];
}

/** The unit as it is installed, for PID 1: its private /tmp has this program. */
export function dynamic(units: Units): Units {
  const programs = [process.execPath, root].filter((file) => obstacleTo(file) !== null);
  const shown = programs.map((file) => `BindReadOnlyPaths=${file}\n`).join('');
  const service = units['megacomet.service']?.replace(
    /^User=nobody$/m,
    `DynamicUser=yes\n${shown}`,
  );
  return { ...units, 'megacomet.service': service ?? '' };
}
