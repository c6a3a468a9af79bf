// `megacomet-ts install-service`: writes systemd units for this machine.
import { existsSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

import { readToken } from '../../api/token.js';
import { planCapacity, readMachineLimits } from '../../capacity/capacity.js';
import { readSettings, type Settings } from '../../options/config.js';
import { invalidOption, invalidValue } from '../../base/call-check.js';
import { MegacometError } from '../../base/errors.js';
import {
  hasCapability,
  hasIpv6,
  procReader,
  readDescriptorLimit,
  sysctl,
  type Reader,
} from '../../system/kernel.js';
import { readCosts, thisMachine } from '../../doctor/machine.js';
import { packageRoot } from '../../system/native.js';
import { ownersOf } from '../../system/secret-file.js';
import { keyOf } from '../../options/options.js';
import { limitNofile } from '../../capacity/sizing.js';
import {
  isTlsAddress,
  SERVICE_NAME,
  serviceUnit,
  SOCKET_NAME,
  socketUnit,
  type UnitCertificate,
  type UnitPlan,
} from '../../systemd/units.js';
import { readCertificate } from '../../tls/certificates.js';
import { writeWhole, type WholeFile } from '../../base/atomic-write.js';
import { stableNodePath } from '../node-path.js';
import type { Output } from '../output.js';

const CAP_SYS_RESOURCE = 24;
/** The kernel's default of fs.nr_open, for a machine that hides it. */
const NR_OPEN = 1_048_576;

/** Folders that ProtectHome= and PrivateTmp= hide from a service. */
const HIDDEN = ['/home', '/root', '/run/user', '/tmp', '/var/tmp'];

/** Reads /proc of process 1, because services get their limits from systemd. */
const readInit: Reader = (file) => procReader(file.replace('/proc/self/', '/proc/1/'));

/** Open files that a process of the service gets. In a container systemd may not raise the limit. */
function grantedDescriptors(target: number, nrOpen: number): number {
  const wanted = limitNofile(target, nrOpen);
  if (hasCapability(readInit, CAP_SYS_RESOURCE)) return wanted;
  return Math.min(wanted, readDescriptorLimit(readInit));
}

/** The reason why the service's user cannot run a file, or null. */
export function obstacleTo(file: string): string | null {
  const target = realpathSync(file);
  const hidden = HIDDEN.find((folder) => target.startsWith(`${folder}/`));
  if (hidden !== undefined) return `the sandbox of the service hides ${hidden}`;
  for (let folder = path.dirname(target); ; folder = path.dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return `only its owner may enter ${folder}`;
    if (folder === '/') return null;
  }
}

interface ServicePlan {
  readonly units: UnitPlan;
  readonly warnings: readonly string[];
}

/** The certificates of the service. @throws MegacometError `ERR_OPTION_INVALID`. */
function certificatesOf(
  settings: Settings,
  listen: readonly string[] | undefined,
): readonly UnitCertificate[] {
  const certs = (settings['tlsCert'] ?? []) as readonly string[];
  const keys = (settings['tlsKey'] ?? []) as readonly string[];
  if (certs.length !== keys.length) {
    const counts = `${certs.length} certificates and ${keys.length} keys`;
    throw invalidOption(`--tls-key: ${counts}; each certificate needs its own key`);
  }
  const tls = listen?.find(isTlsAddress);
  if (tls !== undefined && certs.length === 0) {
    throw invalidOption(`--listen: ${tls} needs --tls-cert`);
  }
  if (certs.length > 0 && listen !== undefined && tls === undefined) {
    throw invalidOption('--tls-cert: needs --listen tls:HOST:PORT');
  }
  return certs.map((cert, index) => ({ cert, key: keys[index] ?? '' }));
}

function planService(settings: Settings): ServicePlan {
  const target = settings['target'] as number;
  const listen = settings['listen'] as readonly string[] | undefined;
  const nrOpen = sysctl(procReader, 'fs.nr_open') ?? NR_OPEN;
  const addresses = listen ?? [hasIpv6(procReader) ? '[::]:8000' : '0.0.0.0:8000'];
  const limits = {
    ...readMachineLimits(procReader),
    descriptors: grantedDescriptors(target, nrOpen),
  };
  const node = stableNodePath(process.execPath, process.env['PATH'] ?? '');
  const certificates = certificatesOf(settings, listen);
  const tls = certificates.length === 0 ? undefined : { tls12Connections: 0 };
  const { workers, warning } = planCapacity(limits, 'auto', target, addresses.length, tls);
  return {
    warnings: [warning, node.warning].filter((text) => text !== null),
    units: {
      target,
      workers,
      nrOpen,
      costs: readCosts(thisMachine),
      drainS: settings['drain'] as number,
      listen: addresses,
      command: [node.file, path.join(packageRoot, 'lib/bin.js')],
      config: settings['configFile'] as string,
      adminTokenFile: (settings['adminTokenFile'] as string | undefined) ?? null,
      certificates,
    },
  };
}

/** The config file, with the options that the plan decides; all others have their defaults. */
function configText({ target, drainS }: UnitPlan): string {
  return `${JSON.stringify({ 'max-connections': target, drain: drainS }, null, 2)}\n`;
}

/** Rejects certificates with which the service would not start. */
function checkCertificates(certificates: readonly UnitCertificate[]): void {
  certificates.forEach((source, index) => {
    readCertificate({ ...source, number: index + 1 }, Date.now());
  });
}

/** Rejects a file of the admin token with which the service would not start. */
function checkToken(file: string): void {
  readToken('admin-token-file', file, ownersOf(undefined));
}

/** Writes files; returns a line for each with the result. */
function write(folder: string, files: readonly WholeFile[]): string[] {
  try {
    const changes = writeWhole(folder, files);
    return files.map(({ name }, index) => {
      const change = changes[index] === true ? 'written  ' : 'unchanged';
      return `${change}  ${path.join(folder, name)}`;
    });
  } catch (error) {
    if (!(error instanceof MegacometError)) throw error;
    const isForbidden = /\((EACCES|EPERM|EROFS)\)$/.test(error.message);
    const hint = isForbidden ? 'run as root, or use --print' : 'check --dir and --config-file';
    throw new MegacometError(error.code, `${error.message}: ${hint}`);
  }
}

/** Writes the config file if it does not exist. An existing file has the settings of its owner. */
function writeConfig(file: string, text: string): string[] {
  if (existsSync(file)) return [`kept       ${file}`];
  return write(path.dirname(file), [{ name: path.basename(file), text }]);
}

/** Why the service's user cannot run the program, or null. */
function obstacleOf(units: UnitPlan): string | null {
  for (const file of units.command) {
    const obstacle = obstacleTo(file);
    if (obstacle === null) continue;
    return (
      `the service cannot run ${file}, because ${obstacle}: install Node.js and megacomet-ts for ` +
      'all users, for example with "npm install --global" as root'
    );
  }
  return null;
}

/**
 * Runs the command; resolves to the exit code.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_CAPACITY`, `ERR_WRITE`.
 */
export async function installService(
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const settings = readSettings('install-service', { flags, env: process.env });
  for (const name of ['config-file', 'dir', 'admin-token-file', 'tls-cert', 'tls-key']) {
    const given = (settings[keyOf(name)] ?? []) as string | readonly string[];
    const value = [given].flat().find((text) => !path.isAbsolute(text));
    if (value !== undefined) throw invalidValue(`--${name}`, value, 'an absolute path');
  }
  const folder = settings['dir'] as string;
  const config = settings['configFile'] as string;
  const { units, warnings } = planService(settings);
  const files = [
    { name: SERVICE_NAME, text: serviceUnit(units) },
    { name: SOCKET_NAME, text: socketUnit(units) },
  ];
  if (settings['print'] === true) {
    const all = files.map(({ name, text }) => ({ file: path.join(folder, name), text }));
    all.unshift({ file: config, text: configText(units) });
    const obstacle = obstacleOf(units);
    const comments = obstacle === null ? warnings : [obstacle, ...warnings];
    await output.print(
      [
        ...comments.map((text) => `# warning: ${text}`),
        ...all.map(({ file, text }) => `# ${file}\n${text}`),
      ].join('\n'),
    );
    return 0;
  }
  const obstacle = obstacleOf(units);
  if (obstacle !== null) throw new MegacometError('ERR_WRITE', obstacle);
  if (units.adminTokenFile !== null) checkToken(units.adminTokenFile);
  checkCertificates(units.certificates);
  await output.print(
    [...write(folder, files), ...writeConfig(config, configText(units))].join('\n'),
  );
  for (const text of warnings) await output.print(`warning    ${text}`);
  if (!existsSync('/run/systemd/system'))
    await output.print('warning    systemd is not running on this machine');
  await output.print(
    `\nNext: systemctl daemon-reload && systemctl enable --now ${SOCKET_NAME} ${SERVICE_NAME}`,
  );
  return 0;
}
