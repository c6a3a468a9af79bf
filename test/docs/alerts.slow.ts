// The alerts of docs/: every alert fires in its own scenario, and in no other.
import t from 'tap';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { root } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const ALERTS = join(root, 'docs/alerts.yml');

const skip = without('promtool');

/** The metrics of a healthy server over 40 minutes, with a sample every 15 s. */
const HEALTHY: Readonly<Record<string, string>> = {
  'up{}': '1x160',
  'megacomet_worker_up{worker="0"}': '1x160',
  'megacomet_worker_up{worker="1"}': '1x160',
  'megacomet_draining{}': '0x160',
  'megacomet_tls_certificate_days_left{certificate="a.pem"}': '60x160',
  'megacomet_worker_restarts_total{worker="0"}': '3x160',
  'megacomet_loop_iteration_seconds_bucket{le="0.000064"}': '0+100x160',
  'megacomet_loop_iteration_seconds_bucket{le="0.131072"}': '0+100x160',
  'megacomet_loop_iteration_seconds_bucket{le="+Inf"}': '0+100x160',
  'megacomet_log_dropped_total{worker="0"}': '0x160',
  'megacomet_limit_headroom_ratio{limit="max-connections"}': '0.5x160',
  'megacomet_limit_headroom_ratio{limit="fs.file-max"}': '0.9x160',
  'megacomet_rejected_total{worker="0"}': '7x160',
  'megacomet_accept_failed_total{worker="0"}': '0+2x160',
  'megacomet_accept_failed_transient_total{worker="0"}': '0+2x160',
  'megacomet_closed_watch_failed_total{worker="0"}': '0x160',
  'megacomet_listeners_paused{worker="0"}': '0x160',
  'megacomet_closed_total{worker="0"}': '0+10x160',
  'megacomet_connections{worker="0"}': '20000x160',
  'megacomet_user_bytes_per_connection{}': '87x160',
  'megacomet_send_queue_bytes{worker="0"}': '1000x160',
  'megacomet_input_budget_bytes{worker="0"}': '5000x160',
  'megacomet_input_budget_full_total{worker="0"}': '3x160',
  'megacomet_kernel_listen_overflows{}': '12x160',
  'megacomet_kernel_tcp_memory_pressures{}': '2x160',
  'megacomet_kernel_tcp_abort_on_memory{}': '1x160',
  'megacomet_publishes_busy_total{}': '0x160',
  'megacomet_gaps_total{worker="0"}': '0x160',
  'megacomet_history_evicted_total{}': '0x160',
  'megacomet_replay_requests_total{worker="0"}': '0+10x160',
  'megacomet_bad_requests_total{worker="0"}': '0+1x160',
  'megacomet_jwks_age_seconds{}': '600x160',
  'megacomet_jwks_keys{}': '2x160',
  'megacomet_jwks_fetch_failures_total{}': '0x160',
  'megacomet_tokens_accepted_total{worker="0"}': '0+1000x160',
  'megacomet_tokens_rejected_total{worker="0"}': '0+50x160',
  'megacomet_hook_failed_total{}': '1x160',
  'megacomet_hook_busy_total{}': '1x160',
  'megacomet_hook_waiting_full_total{worker="0"}': '0x160',
  'megacomet_limited_connections_total{worker="0"}': '0x160',
  'megacomet_limited_handshakes_total{worker="0"}': '0+1x160',
  'megacomet_limited_users_total{worker="0"}': '0x160',
  'megacomet_limited_commands_total{worker="0"}': '0x160',
  'megacomet_admin_unauthorized_total{}': '3x160',
};

interface Scene {
  readonly what: string;
  readonly changes: Readonly<Record<string, string>>;
  readonly firing: readonly string[];
}

const SCENES: readonly Scene[] = [
  { what: 'a healthy server', changes: {}, firing: [] },
  { what: 'a failed scrape', changes: { 'up{}': '0x160' }, firing: ['MegacometDown'] },
  {
    what: 'one of two workers not serving',
    changes: { 'megacomet_worker_up{worker="1"}': '0x160' },
    firing: ['MegacometWorkerNotServing'],
  },
  {
    what: 'no worker serving',
    changes: {
      'megacomet_worker_up{worker="0"}': '0x160',
      'megacomet_worker_up{worker="1"}': '0x160',
    },
    firing: ['MegacometNotReady', 'MegacometWorkerNotServing'],
  },
  {
    what: 'a drain',
    changes: {
      'megacomet_draining{}': '1x160',
      'megacomet_worker_up{worker="0"}': '0x160',
      'megacomet_worker_up{worker="1"}': '0x160',
      'megacomet_closed_total{worker="0"}': '0x140 0+1000x20',
    },
    firing: [],
  },
  {
    what: 'a replaced worker',
    changes: { 'megacomet_worker_restarts_total{worker="0"}': '3x140 4x20' },
    firing: ['MegacometWorkerReplaced'],
  },
  {
    what: 'slow loop iterations',
    changes: {
      'megacomet_loop_iteration_seconds_bucket{le="0.000064"}': '0+10x160',
      'megacomet_loop_iteration_seconds_bucket{le="0.131072"}': '0+50x160',
    },
    firing: ['MegacometSlowLoop'],
  },
  {
    what: 'lost log lines',
    changes: { 'megacomet_log_dropped_total{worker="0"}': '0x140 9x20' },
    firing: ['MegacometLogLost'],
  },
  {
    what: 'a nearly full server',
    changes: { 'megacomet_limit_headroom_ratio{limit="max-connections"}': '0.04x160' },
    firing: ['MegacometNearlyFull'],
  },
  {
    what: 'refusals',
    changes: { 'megacomet_rejected_total{worker="0"}': '7+1x160' },
    firing: ['MegacometRejecting'],
  },
  {
    what: 'accept failures that peers did not cause',
    changes: { 'megacomet_accept_failed_total{worker="0"}': '0+3x160' },
    firing: ['MegacometAcceptFails'],
  },
  {
    what: 'connections that epoll rejects',
    changes: { 'megacomet_closed_watch_failed_total{worker="0"}': '0x140 5x20' },
    firing: ['MegacometEpollRejects'],
  },
  {
    what: 'a listener that is paused for long',
    changes: { 'megacomet_listeners_paused{worker="0"}': '1x160' },
    firing: ['MegacometListenersPaused'],
  },
  {
    what: 'a tenth of the connections lost',
    changes: { 'megacomet_closed_total{worker="0"}': '0x140 0+1000x20' },
    firing: ['MegacometMassDisconnect'],
  },
  {
    what: 'expensive connections',
    changes: { 'megacomet_user_bytes_per_connection{}': '400x160' },
    firing: ['MegacometMemoryPerConnection'],
  },
  {
    what: 'slow peers',
    changes: { 'megacomet_send_queue_bytes{worker="0"}': '300000000x160' },
    firing: ['MegacometSlowPeers'],
  },
  {
    what: 'requests that stay incomplete',
    changes: { 'megacomet_input_budget_bytes{worker="0"}': '40000000x160' },
    firing: ['MegacometIncompleteRequests'],
  },
  {
    what: 'clients rejected by the input budget',
    changes: { 'megacomet_input_budget_full_total{worker="0"}': '3x140 9x20' },
    firing: ['MegacometInputBudgetFull'],
  },
  {
    what: 'a nearly reached kernel limit',
    changes: { 'megacomet_limit_headroom_ratio{limit="fs.file-max"}': '0.15x160' },
    firing: ['MegacometLimitNear'],
  },
  {
    what: 'a reached kernel limit',
    changes: { 'megacomet_limit_headroom_ratio{limit="fs.file-max"}': '0x160' },
    firing: ['MegacometLimitNear', 'MegacometLimitReached'],
  },
  {
    what: 'a full listen queue',
    changes: { 'megacomet_kernel_listen_overflows{}': '12x140 90x20' },
    firing: ['MegacometListenOverflows'],
  },
  {
    what: 'pressure on socket memory',
    changes: { 'megacomet_kernel_tcp_memory_pressures{}': '2x140 3x20' },
    firing: ['MegacometMemoryPressure'],
  },
  {
    what: 'resets because of memory shortage',
    changes: { 'megacomet_kernel_tcp_abort_on_memory{}': '1x140 3x20' },
    firing: ['MegacometMemoryAborts'],
  },
  {
    what: 'publishes that meet a busy worker',
    changes: { 'megacomet_publishes_busy_total{}': '0x120 0+5x40' },
    firing: ['MegacometPublishesBusy'],
  },
  {
    what: 'clients that miss messages',
    changes: { 'megacomet_gaps_total{worker="0"}': '0x100 0+5x60' },
    firing: ['MegacometGaps'],
  },
  {
    what: 'a full history',
    changes: { 'megacomet_history_evicted_total{}': '0x100 0+5x60' },
    firing: ['MegacometHistoryEvicted'],
  },
  {
    what: 'clients that reconnect again and again',
    changes: { 'megacomet_replay_requests_total{worker="0"}': '0x100 0+3000x60' },
    firing: ['MegacometReconnectStorm'],
  },
  {
    what: 'rejected requests',
    changes: { 'megacomet_bad_requests_total{worker="0"}': '0x80 0+60x80' },
    firing: ['MegacometRejectedRequests'],
  },
  {
    what: 'a certificate that expires in 13 days',
    changes: { 'megacomet_tls_certificate_days_left{certificate="a.pem"}': '13x160' },
    firing: ['MegacometCertificateExpires'],
  },
  {
    what: 'keys of an issuer that are old',
    changes: { 'megacomet_jwks_age_seconds{}': '0+75x160' },
    firing: ['MegacometKeysStale'],
  },
  {
    what: 'an issuer that never answered',
    changes: {
      'megacomet_jwks_age_seconds{}': '0x160',
      'megacomet_jwks_keys{}': '0x160',
      'megacomet_jwks_fetch_failures_total{}': '0+1x160',
    },
    firing: ['MegacometKeysStale'],
  },
  {
    what: 'a server without keys of an issuer',
    changes: { 'megacomet_jwks_age_seconds{}': '0x160', 'megacomet_jwks_keys{}': '0x160' },
    firing: [],
  },
  {
    what: 'tokens that are rejected',
    changes: { 'megacomet_tokens_rejected_total{worker="0"}': '0+300x160' },
    firing: ['MegacometTokensRejected'],
  },
  {
    what: 'a hook that fails',
    changes: { 'megacomet_hook_failed_total{}': '0x100 0+1x60' },
    firing: ['MegacometHookFails'],
  },
  {
    what: 'a hook with too many open requests',
    changes: { 'megacomet_hook_busy_total{}': '0x100 0+1x60' },
    firing: ['MegacometHookBusy'],
  },
  {
    what: 'a worker with too many clients that wait for the hook',
    changes: { 'megacomet_hook_waiting_full_total{worker="0"}': '0x100 0+1x60' },
    firing: ['MegacometHookBusy'],
  },
  {
    what: 'clients over a limit',
    changes: { 'megacomet_limited_commands_total{worker="0"}': '0x80 0+30x80' },
    firing: ['MegacometClientsLimited'],
  },
  {
    what: 'an attack on the admin token',
    changes: { 'megacomet_admin_unauthorized_total{}': '0x100 0+5x60' },
    firing: ['MegacometAdminUnauthorized'],
  },
  {
    what: 'a log that is not available',
    changes: { 'megacomet_log_down{}': '0x80 1x80' },
    firing: ['MegacometLogDown'],
  },
  {
    what: 'a node that does not read its ticks',
    changes: { 'megacomet_cluster_tick_age_seconds{}': '0.5x80 0+15x80' },
    firing: ['MegacometTickMissing'],
  },
  {
    what: 'a node that closes its clients, because it is cut off',
    changes: { 'megacomet_cut_off{}': '0x150 1x10' },
    firing: ['MegacometCutOff'],
  },
  {
    what: 'publishes that the log does not take',
    changes: { 'megacomet_log_publishes_failed_total{}': '0x100 0+5x60' },
    firing: ['MegacometPublishesFailed'],
  },
  {
    what: 'entries that this node missed',
    changes: { 'megacomet_log_gaps_total{}': '0x150 1x10' },
    firing: ['MegacometMessagesLost'],
  },
  {
    what: 'records of a newer node',
    changes: { 'megacomet_log_records_unknown_total{}': '0x150 1x10' },
    firing: ['MegacometNodeOutdated'],
  },
];

/** A promtool test as JSON, which is valid YAML. */
function ruleTest({ changes, firing }: Scene): object {
  const input = Object.entries({ ...HEALTHY, ...changes }).map(([series, values]) => ({
    series: series.replace('{', '{job="megacomet",instance="a",').replace(',}', '}'),
    values,
  }));
  const samples = [...firing].sort().map((name) => ({ labels: `{alertname="${name}"}`, value: 1 }));
  const expr = 'max by (alertname) (ALERTS{alertstate="firing"})';
  return {
    interval: '15s',
    input_series: input,
    promql_expr_test: [{ expr, eval_time: '38m', exp_samples: samples }],
  };
}

t.test('each alert fires in its scenario, and no other fires', { skip }, (t) => {
  const folder = t.testdir();
  for (const scene of SCENES) {
    const file = join(folder, 'scene.json');
    const tests = [ruleTest(scene)];
    writeFileSync(
      file,
      JSON.stringify({ rule_files: [ALERTS], evaluation_interval: '15s', tests }),
    );
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], {
      encoding: 'utf8',
    });
    t.equal(status, 0, status === 0 ? scene.what : `${scene.what}: ${stdout}${stderr}`);
  }
  const named = [...readFileSync(ALERTS, 'utf8').matchAll(/- alert: (\w+)/g)].map(
    ([, name]) => name,
  );
  const fired = new Set(SCENES.flatMap(({ firing }) => firing));
  t.same([...fired].sort(), [...named].sort(), 'every alert has a scenario');
  t.end();
});

t.test('promtool accepts the rules', { skip }, (t) => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', ALERTS], {
    encoding: 'utf8',
  });
  t.equal(status, 0, stdout + stderr);
  t.end();
});
