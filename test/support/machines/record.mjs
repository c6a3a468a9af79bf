// Prints a recording of the files that the doctor reads on this machine, for every role. With it the
// checks give the same findings everywhere. Usage:
//
//   node test/support/machines/record.mjs "description of the machine"
//
// Run it after npm run build:ts, and as root to include the sizes of kernel objects. It removes or
// replaces names of this machine (addresses, control groups, the kernel's build).
import { diagnose } from '../../../dist/lib/doctor/doctor.js';
import { thisMachine } from '../../../dist/lib/doctor/machine.js';

const AIM = {
  target: 1_000_000,
  workers: 'auto',
  acceptRate: 0,
  messageBurst: 1,
  messageBytes: 200,
  ports: [8000],
  backlog: 4096,
  keepaliveS: 240,
  drainS: 10,
};

const files = {};
const outputs = {};

/** The lines that the checks need from long files. */
const WANTED_LINES = {
  '/proc/meminfo': /^(MemTotal|MemAvailable|AnonHugePages):/,
  '/proc/self/mountinfo': / \/proc\/sys /,
  '/proc/self/status': /^(CapEff|Cpus_allowed_list|NSpid|Uid):/,
  '/proc/vmstat': /^(oom_kill|allocstall_normal) /,
};

function reduced(path, text) {
  const wanted = WANTED_LINES[path];
  const lines = text.split('\n');
  // A comment becomes "#", so that the line numbers stay.
  if (path.endsWith('.conf')) return text.replace(/^\s*[#;].*$/gm, '#');
  if (wanted !== undefined) return `${lines.filter((line) => wanted.test(line)).join('\n')}\n`;
  if (path === '/proc/self/smaps') return `${lines.find((line) => /^KernelPageSize/.test(line))}\n`;
  if (path === '/proc/sys/kernel/osrelease') return `${/^[\d.]+\d/.exec(text)[0]}\n`;
  if (path === '/proc/net/arp') {
    const neighbour = (_line, index) => `192.0.2.${index + 1} 0x1 0x2 02:00:00:00:00:01 * eth0`;
    return [lines[0], ...lines.slice(1, -1).map(neighbour), ''].join('\n');
  }
  return text;
}

const recorder = {
  read: (path) => {
    const text = thisMachine.read(path);
    if (text !== undefined) files[path] = reduced(path, text);
    return text;
  },
  list: (folder) => {
    const names = thisMachine.list(folder);
    // An empty file stands for one that was only listed in its folder.
    for (const name of names) files[`${folder}/${name}`] ??= '';
    return names;
  },
  run: (program, ...args) => {
    const text = thisMachine.run(program, ...args);
    if (text !== undefined) outputs[[program, ...args].join(' ')] = text;
    return text;
  },
};

for (const role of ['server', 'client', 'both']) diagnose(recorder, { ...AIM, role });

/** Names in the paths of control groups. */
const groups = (files['/proc/self/cgroup'] ?? '')
  .split('\n')
  .flatMap((line) => line.split(':').slice(2).join(':').split('/'))
  .filter((name) => name !== '');
const anonymous = (text) =>
  groups.reduce((rest, name) => rest.replaceAll(`/${name}`, '/group'), text);
// An empty entry for a folder whose files are recorded too is redundant.
const isFolder = (path) => Object.keys(files).some((other) => other.startsWith(`${path}/`));
const kept = Object.entries(files).filter(([path, text]) => text !== '' || !isFolder(path));

const recording = {
  about: process.argv[2] ?? '',
  files: Object.fromEntries(kept.map(([path, text]) => [anonymous(path), anonymous(text)]).sort()),
  outputs,
};
process.stdout.write(`${JSON.stringify(recording, null, 2)}\n`);
