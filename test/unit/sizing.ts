// The formulas of lib/capacity/sizing.ts against values computed by hand, and each inverse against
// its formula.
import fc from 'fast-check';
import t from 'tap';

import {
  backlogNeeded,
  cgroupBytesNeeded,
  connectionsInCgroup,
  connectionsInMemory,
  conntrackNeeded,
  defaultAcceptRate,
  descriptorsNeeded,
  filesNeeded,
  hashBucketsNeeded,
  limitNofile,
  memoryNeeded,
  minFreeKilobytes,
  orphansNeeded,
  portsNeeded,
  reserveBytes,
  stopTimeoutS,
  tasksMax,
  handshakeSeconds,
  tcpMemNeeded,
  TLS_RESUMED_US,
  tlsNeeded,
  timeWaitNeeded,
  watchesNeeded,
  type Costs,
  type Load,
} from '../../lib/capacity/sizing.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SMALL_PAGES: Costs = { pageBytes: 4096, connectionBytes: 4100, clientBytes: 4300 };
const LARGE_PAGES: Costs = { pageBytes: 65_536, connectionBytes: 4069, clientBytes: 4269 };

/** A million accepted connections in 8 workers, all of them sent 200 bytes at once. */
const SERVER: Load = {
  connections: 1_000_000,
  clients: 0,
  workers: 8,
  acceptRate: 20_000,
  burst: 1,
  messageBytes: 200,
};
const CLIENT: Load = { ...SERVER, connections: 0, clients: 1_000_000 };
const BOTH: Load = { ...SERVER, clients: 1_000_000 };

t.test('the listen queue holds the new connections of two seconds, in powers of two', (t) => {
  const rows: [number, number, number][] = [
    // 2 · 20,000 / 8 = 5000; the next power of two is 8192.
    [20_000, 8, 8192],
    [16_384, 8, 4096],
    [16_385, 8, 8192],
    [100, 8, 4096],
    [20_000, 1, 65_535],
    [1_000_000, 2, 65_535],
  ];
  for (const [acceptRate, workers, wanted] of rows) {
    t.equal(backlogNeeded({ ...SERVER, acceptRate, workers }), wanted, `${acceptRate}/${workers}`);
  }
  t.equal(defaultAcceptRate(1_000_000), 16_667, 'all clients within a minute');
  t.equal(defaultAcceptRate(100), 1000, 'at least 1000 per second');
  t.end();
});

t.test('limits of files, watches, ports and entries follow from the connections', (t) => {
  // 1.1 · 1,000,000 / 8 + 1024.
  t.equal(descriptorsNeeded(SERVER), 138_524);
  t.equal(descriptorsNeeded(CLIENT), 138_524, 'a load generator holds as many');
  t.equal(descriptorsNeeded(BOTH), 138_524, 'each end has its own processes');
  t.equal(descriptorsNeeded({ ...SERVER, workers: 3 }), 367_691, 'rounded up');
  t.equal(filesNeeded(SERVER), 1_165_536);
  t.equal(filesNeeded(BOTH), 2_265_536);
  t.equal(watchesNeeded(SERVER), 1_110_000);
  t.equal(watchesNeeded(BOTH), 2_210_000);
  t.equal(orphansNeeded(SERVER), 250_000);
  t.equal(orphansNeeded({ ...SERVER, connections: 5 }), 2);
  t.equal(timeWaitNeeded(SERVER), 1_000_000);
  t.equal(timeWaitNeeded(BOTH), 1_000_000, 'only the end that closes first has one');
  t.equal(timeWaitNeeded({ ...SERVER, connections: 50_000 }), 50_000);
  t.equal(timeWaitNeeded({ ...SERVER, connections: 2_000_000 }), 1_000_000, '256 MB at most');
  t.equal(portsNeeded(CLIENT), 1_020_000);
  // 1.25 · 1,000,000, plus the connections closed within 120 s if each lives 600 s.
  t.equal(conntrackNeeded(SERVER), 1_450_000);
  t.equal(hashBucketsNeeded(SERVER), 262_144);
  t.equal(hashBucketsNeeded(BOTH), 524_288);
  t.equal(hashBucketsNeeded({ ...SERVER, connections: 1_048_577 }), 524_288);
  t.end();
});

t.test('memory is for kernel, processes, a pending message and fragmentation', (t) => {
  t.same(memoryNeeded(SERVER, SMALL_PAGES), {
    kernelBytes: 4_100_000_000,
    // 96 bytes for each connection, 8 workers of 9 MB, and 100 MB for the manager.
    userBytes: 268_000_000,
    burstBytes: 1_200_000_000,
    fragmentationBytes: 1_640_000_000,
  });
  t.same(memoryNeeded(CLIENT, SMALL_PAGES), {
    kernelBytes: 4_300_000_000,
    userBytes: 268_000_000,
    burstBytes: 0,
    fragmentationBytes: 1_720_000_000,
  });
  t.same(memoryNeeded({ ...BOTH, burst: 0.1 }, SMALL_PAGES), {
    kernelBytes: 8_400_000_000,
    userBytes: 536_000_000,
    burstBytes: 120_000_000,
    fragmentationBytes: 3_360_000_000,
  });
  t.equal(reserveBytes(64 * GIB), GIB);
  t.equal(reserveBytes(8 * GIB), GIB);
  t.equal(reserveBytes(4 * GIB), GIB / 2, 'an eighth of a small machine');
  t.equal(minFreeKilobytes(32 * GIB), 262_144, '256 MiB at most');
  t.equal(minFreeKilobytes(16 * GIB), 167_772);
  t.end();
});

t.test('connectionsInMemory is the inverse of memoryNeeded', (t) => {
  // 16 GiB − 1 GiB − 172 MB of processes, by 4100 + 96 + 1200 bytes.
  t.equal(connectionsInMemory(16 * GIB, GIB, SERVER, SMALL_PAGES), 2_952_951);
  t.equal(connectionsInMemory(16 * GIB, GIB, { ...SERVER, burst: 0 }, SMALL_PAGES), 3_797_456);
  t.equal(connectionsInMemory(16 * GIB, GIB, CLIENT, SMALL_PAGES), 3_624_687);
  // Both ends: 344 MB of processes, 9792 bytes a pair.
  t.equal(connectionsInMemory(16 * GIB, GIB, BOTH, SMALL_PAGES), 1_609_694);
  t.equal(connectionsInMemory(GIB, GIB, SERVER, SMALL_PAGES), 0, 'never negative');
  t.end();
});

t.test('a cgroup needs whole pages for data, and 20 % headroom', (t) => {
  // 1.2 · 1,000,000 · (4100 + 100 + 96 + 4096) + 172 MB = 10,242,400,000, in whole MiB.
  t.equal(cgroupBytesNeeded(SERVER, SMALL_PAGES), 9768 * MIB);
  t.equal(cgroupBytesNeeded({ ...SERVER, burst: 0 }, SMALL_PAGES), 5081 * MIB);
  t.equal(cgroupBytesNeeded(CLIENT, SMALL_PAGES), 5310 * MIB);
  t.equal(cgroupBytesNeeded(SERVER, LARGE_PAGES), 80_045 * MIB, 'with 64 KiB pages');
  t.equal(connectionsInCgroup(4 * GIB, { ...SERVER, burst: 0 }, SMALL_PAGES), 799_768);
  t.equal(connectionsInCgroup(100_000_000, SERVER, SMALL_PAGES), 0);
  t.end();
});

t.test('tcp_mem counts pages, at least one for each socket with unacknowledged data', (t) => {
  t.same(tcpMemNeeded(SERVER, SMALL_PAGES, 32 * GIB), {
    pages: [750_000, 1_000_000, 1_500_000],
    isCut: false,
  });
  t.same(
    tcpMemNeeded({ ...SERVER, burst: 0.25 }, SMALL_PAGES, 32 * GIB).pages,
    [187_500, 250_000, 375_000],
    'a message to a quarter of the connections',
  );
  t.same(
    tcpMemNeeded({ ...SERVER, messageBytes: 8000 }, SMALL_PAGES, 64 * GIB).pages,
    [2_250_000, 3_000_000, 4_500_000],
    'three pages for 8.9 kB',
  );
  t.same(
    tcpMemNeeded(SERVER, SMALL_PAGES, 8 * GIB),
    { pages: [524_287, 699_050, 1_048_575], isCut: true },
    'at most half of the memory',
  );
  t.same(
    tcpMemNeeded(SERVER, LARGE_PAGES, 32 * GIB),
    { pages: [131_071, 174_762, 262_143], isCut: true },
    'a page of 64 KiB for each connection is 61 GiB',
  );
  t.same(tcpMemNeeded({ ...SERVER, burst: 0 }, SMALL_PAGES, 8 * GIB).pages, [0, 0, 0]);
  t.end();
});

t.test('the values of the systemd unit', (t) => {
  t.equal(limitNofile(1_000_000, 1_048_576), 1_001_024, 'one worker may hold all connections');
  t.equal(limitNofile(1_000, 1_048_576), 65_536);
  t.equal(limitNofile(2_000_000, 1_048_576), 1_048_576, 'never above fs.nr_open');
  t.equal(stopTimeoutS(1_000_000, 10), 26, '10 s drain, 10 s grace, 6 µs for each connection');
  t.equal(stopTimeoutS(1, 0), 11);
  t.equal(tasksMax(8), 128);
  t.end();
});

t.test('TLS adds state to each connection, and handshakes to each worker', (t) => {
  const tls = { ...SERVER, tls: { tls12Connections: 10_000 } };
  t.same(tlsNeeded(tls), {
    stateBytes: 192_000_000,
    tls12Bytes: 290_000_000,
    // 512 handshakes of 62 kB in each of 8 workers.
    handshakeBytes: 253_952_000,
  });
  const added =
    memoryNeeded(tls, SMALL_PAGES).userBytes - memoryNeeded(SERVER, SMALL_PAGES).userBytes;
  t.equal(added, 192_000_000 + 290_000_000 + 253_952_000);
  const few = { ...tls, connections: 100 };
  t.equal(tlsNeeded(few)?.tls12Bytes, 2_900_000, 'not more clients than there are');
  t.equal(tlsNeeded(SERVER), null);
  t.equal(Math.round(handshakeSeconds(1_000_000, TLS_RESUMED_US, 16)), 14);
  t.equal(Math.round(handshakeSeconds(1_000_000, TLS_RESUMED_US, 2)), 108);
  t.end();
});

const loads = fc.record({
  connections: fc.integer({ min: 0, max: 100_000_000 }),
  clients: fc.integer({ min: 0, max: 100_000_000 }),
  workers: fc.integer({ min: 1, max: 512 }),
  acceptRate: fc.integer({ min: 0, max: 1_000_000 }),
  burst: fc.double({ min: 0, max: 1, noNaN: true }),
  messageBytes: fc.integer({ min: 0, max: 16_777_216 }),
  tls: fc.option(fc.record({ tls12Connections: fc.integer({ min: 0, max: 100_000 }) })),
});

/** A load with as many clients as connections, if it has both, as for every role. */
function evened({ tls, ...load }: Omit<Load, 'tls'> & { readonly tls: Load['tls'] | null }): Load {
  const target = Math.max(1, load.connections, load.clients);
  return {
    ...load,
    ...(tls === null || tls === undefined ? {} : { tls }),
    connections: load.connections > 0 || load.clients === 0 ? target : 0,
    clients: load.clients > 0 ? target : 0,
  };
}

t.test('each inverse agrees with its formula, and the values of tcp_mem are in order', (t) => {
  const property = fc.property(
    loads,
    fc.constantFrom(SMALL_PAGES, LARGE_PAGES),
    fc.integer({ min: 2 ** 27, max: 2 ** 42 }),
    (drawn, costs, bytes) => {
      const load = evened(drawn);
      const target = Math.max(load.connections, load.clients);
      const group = cgroupBytesNeeded(load, costs);
      if (connectionsInCgroup(group, load, costs) < target) return false;
      if (connectionsInCgroup(group - MIB, load, costs) > target) return false;
      const need = memoryNeeded(load, costs);
      const packed = need.kernelBytes + need.userBytes + need.burstBytes;
      const held = connectionsInMemory(packed + GIB, GIB, load, costs);
      if (Math.abs(held - target) > 1) return false;
      const [min, pressure, max] = tcpMemNeeded(load, costs, bytes).pages;
      return min <= pressure && pressure <= max && max * costs.pageBytes <= bytes / 2;
    },
  );
  t.doesNotThrow(() => {
    fc.assert(property, { numRuns: 2000 });
  });
  t.end();
});
