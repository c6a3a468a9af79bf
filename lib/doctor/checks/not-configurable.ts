// What the program settles itself, and what is best left alone: shown, never proposed.
// Half of the advice on the web is about these.
import { finding, skipped, type Check, type Finding, type Role, type Scope } from '../finding.js';

interface Row {
  readonly id: string;
  readonly scope: Scope;
  /** The end that it could concern; both where it is left out. */
  readonly role?: 'client' | 'server';
  readonly why: string;
}

/** Sysctls whose value is shown and left alone. */
const LEAVE: readonly Row[] = [
  {
    id: 'net.ipv4.tcp_fin_timeout',
    scope: 'namespace',
    why: 'It shortens FIN_WAIT_2 only; TIME_WAIT is 60 s at compile time: leave it.',
  },
  {
    id: 'net.ipv4.tcp_retries2',
    scope: 'namespace',
    why: 'A dead peer with unsent data is found by a user timeout, not here: leave it.',
  },
  {
    id: 'net.ipv4.tcp_notsent_lowat',
    scope: 'namespace',
    role: 'server',
    why: 'It bounds unsent data on fast paths, and did not on a stalled one: leave it.',
  },
  {
    id: 'net.core.rmem_max',
    scope: 'namespace',
    why: 'It caps what a program may ask for, and nobody here asks: leave it.',
  },
  {
    id: 'net.core.wmem_max',
    scope: 'namespace',
    why: 'It caps what a program may ask for, and nobody here asks: leave it.',
  },
  {
    id: 'net.ipv4.tcp_congestion_control',
    scope: 'namespace',
    why: 'Its state is part of every socket, whichever it is: no effect on idle connections.',
  },
  {
    id: 'net.ipv4.tcp_keepalive_time',
    scope: 'namespace',
    role: 'server',
    why: 'Not used: --keepalive sets it for each listener, and its connections inherit it.',
  },
  {
    id: 'net.ipv4.tcp_migrate_req',
    scope: 'namespace',
    role: 'server',
    why: 'Not needed: the manager keeps the listeners, so no queue dies with its worker.',
  },
  {
    id: 'net.ipv4.tcp_syn_linear_timeouts',
    scope: 'namespace',
    role: 'client',
    why: 'The first lost handshakes are tried again every second: leave it.',
  },
];

/** Options of sockets, which no file shows. */
const OPTIONS: readonly (Row & { readonly isSet: boolean })[] = [
  {
    id: 'TCP_DEFER_ACCEPT',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: 'Clients that wait for the first message would fill the queue of handshakes.',
  },
  {
    id: 'SO_REUSEPORT',
    scope: 'process',
    role: 'server',
    isSet: true,
    why: 'One listener for each worker, and new connections go to those that have room.',
  },
  {
    id: 'SO_INCOMING_CPU',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: 'The share of a worker follows its free places, not the core of a packet.',
  },
  {
    id: 'TCP_USER_TIMEOUT',
    scope: 'process',
    role: 'server',
    isSet: false,
    why: "Deadlines for unsent data are the server's own, and probes find silent peers.",
  },
  {
    id: 'IP_BIND_ADDRESS_NO_PORT',
    scope: 'process',
    role: 'client',
    isSet: true,
    why: 'The bench sets it: one port then serves many destinations.',
  },
];

/** Left out where only the other end has it. */
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
    if (!concerns(role, row)) return skipped(id, scope, `it concerns a ${only ?? ''} only`);
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
    'removed in Linux 4.12, after it had lost clients behind NAT',
  ),
];

export const notConfigurableChecks: readonly Check[] = [leave, options, gone];
