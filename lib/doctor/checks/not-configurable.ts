// Settings that the program decides itself or that are best left alone. The doctor shows them, because
// much advice on the web is about them, but never proposes a change.
import { finding, skipped, type Check, type Finding, type Role, type Scope } from '../finding.js';

interface Row {
  readonly id: string;
  readonly scope: Scope;
  /** The end of a connection that the setting concerns; both if undefined. */
  readonly role?: 'client' | 'server';
  readonly why: string;
}

/** Sysctls that are shown and left alone. */
const LEAVE: readonly Row[] = [
  {
    id: 'net.ipv4.tcp_fin_timeout',
    scope: 'namespace',
    why: 'Leave it: it shortens FIN_WAIT_2 only; TIME_WAIT is 60 s, set at compile time.',
  },
  {
    id: 'net.ipv4.tcp_retries2',
    scope: 'namespace',
    why: "Leave it: the server's write timeout finds a dead peer with unsent data earlier.",
  },
  {
    id: 'net.ipv4.tcp_notsent_lowat',
    scope: 'namespace',
    role: 'server',
    why: 'Leave it: it did not lower the memory that a peer holds after it stops reading.',
  },
  {
    id: 'net.core.rmem_max',
    scope: 'namespace',
    why: 'Leave it: it caps the buffer sizes that a program requests; megacomet-ts requests none.',
  },
  {
    id: 'net.core.wmem_max',
    scope: 'namespace',
    why: 'Leave it: it caps the buffer sizes that a program requests; megacomet-ts requests none.',
  },
  {
    id: 'net.ipv4.tcp_congestion_control',
    scope: 'namespace',
    why: 'Leave it: its state is part of every socket, so it has no effect on idle connections.',
  },
  {
    id: 'net.ipv4.tcp_keepalive_time',
    scope: 'namespace',
    role: 'server',
    why: 'Not used: --keepalive sets the time for each listener, and its connections inherit it.',
  },
  {
    id: 'net.ipv4.tcp_migrate_req',
    scope: 'namespace',
    role: 'server',
    why: 'Not needed: the manager keeps the listeners open, so no queue is lost with its worker.',
  },
  {
    id: 'net.ipv4.tcp_syn_linear_timeouts',
    scope: 'namespace',
    role: 'client',
    why: 'Leave it: the kernel retries the first lost handshakes every second.',
  },
];

/** Options of sockets, which no file in /proc shows. */
const OPTIONS: readonly (Row & { readonly isSet: boolean })[] = [
  {
    id: 'TCP_DEFER_ACCEPT',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: 'Clients that send nothing first would stay half-open and fill the queue of handshakes.',
  },
  {
    id: 'SO_REUSEPORT',
    scope: 'process',
    role: 'server',
    isSet: true,
    why: 'Each worker has its own listener, and new connections go to workers with headroom.',
  },
  {
    id: 'SO_INCOMING_CPU',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: "A worker's share of new connections depends on its headroom, not on the CPU of a packet.",
  },
  {
    id: 'TCP_USER_TIMEOUT',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: 'The server has its own timeout for unsent data, and keep-alive probes find silent peers.',
  },
  {
    id: 'IP_BIND_ADDRESS_NO_PORT',
    scope: 'process',
    role: 'client',
    isSet: true,
    why: 'The load generator sets it, so that one port serves many destinations.',
  },
];

/** Whether a setting concerns a role. */
function concerns(role: Role, { role: only }: Row): boolean {
  return only === undefined || role === 'both' || role === only;
}

function shown({ id, scope, why }: Row, current: string): Finding {
  return finding({ id, scope, severity: 'ok', current, needed: null, formula: '', why });
}

const leave: Check = ({ machine, role }) =>
  LEAVE.map((row) => {
    const { id, scope, role: only } = row;
    const current = machine.read(`/proc/sys/${id.replaceAll('.', '/')}`)?.trim();
    if (!concerns(role, row)) return skipped(id, scope, `only a ${only ?? ''} uses it`);
    return current === undefined
      ? skipped(id, scope, 'this kernel or namespace has no such setting')
      : shown(row, current.replace(/\s+/g, ' '));
  });

const options: Check = ({ role }) =>
  OPTIONS.filter((row) => concerns(role, row)).map((row) =>
    shown(row, row.isSet ? 'set' : 'not set'),
  );

const gone: Check = () => [
  skipped(
    'net.ipv4.tcp_tw_recycle',
    'namespace',
    'Linux 4.12 removed it, because it lost clients behind NAT',
  ),
];

export const notConfigurableChecks: readonly Check[] = [leave, options, gone];
