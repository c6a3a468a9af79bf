// A directory for a log, logs in it, and a disk whose calls fail when a test says so.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Test } from 'tap';

import { systemDisk, type Disk, type DiskFile } from '../../lib/log/disk.js';
import { FileLog, type FileLogOptions } from '../../lib/log/file-log.js';
import type { OpenReport } from '../../lib/log/log-folder.js';
import type { LogStart } from '../../lib/log/log.js';
import { addon } from '../../lib/system/native.js';
import { LogRecord, Node } from './log-record.js';

/** A file system in memory, where there is one: tests sync hundreds of files. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

type Call = keyof Disk | Exclude<keyof DiskFile, 'stat'>;

/** The real disk, with faults. */
export class FaultyDisk implements Disk {
  /** By the name of a call: the code of its error. */
  readonly faults = new Map<Call, string>();
  /** Bytes that can be written before ENOSPC. */
  room = Infinity;
  /** Calls that wait until the test lets them go. */
  readonly held = new Map<Call, Promise<void>>();
  readonly calls: Call[] = [];

  async #enter(call: Call): Promise<void> {
    this.calls.push(call);
    await this.held.get(call);
    const code = this.faults.get(call);
    if (code !== undefined) throw Object.assign(new Error(code), { code });
  }

  /** Makes a call wait; returns the function that lets it go on. */
  hold(call: Call): () => void {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = () => {
        this.held.delete(call);
        resolve();
      };
    });
    this.held.set(call, held);
    return release;
  }

  async open(path: string, flags: string, mode?: number): Promise<DiskFile> {
    await this.#enter('open');
    return this.#wrap(await systemDisk.open(path, flags, mode));
  }

  async readdir(path: string): Promise<string[]> {
    await this.#enter('readdir');
    return systemDisk.readdir(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#enter('rename');
    await systemDisk.rename(from, to);
  }

  async rm(path: string, options: { force: true }): Promise<void> {
    await this.#enter('rm');
    await systemDisk.rm(path, options);
  }

  async mkdir(path: string, mode: number): Promise<unknown> {
    await this.#enter('mkdir');
    return systemDisk.mkdir(path, mode);
  }

  async stat(path: string): Promise<{ isDirectory(): boolean }> {
    await this.#enter('stat');
    return systemDisk.stat(path);
  }

  #wrap(file: DiskFile): DiskFile {
    return {
      read: async (...range) => {
        await this.#enter('read');
        return file.read(...range);
      },
      write: async (source, offset, length, position) => {
        await this.#enter('write');
        if (this.room <= 0) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        // As a disk does: the last bytes that fit are written, and the next call fails.
        const part = Math.min(length, this.room);
        this.room -= part;
        return file.write(source, offset, part, position);
      },
      datasync: async () => {
        await this.#enter('datasync');
        await file.datasync();
      },
      sync: async () => {
        await this.#enter('sync');
        await file.sync();
      },
      truncate: async (length) => {
        await this.#enter('truncate');
        await file.truncate(length);
      },
      stat: (options) => file.stat(options),
      close: async () => {
        await this.#enter('close').catch(() => undefined);
        await file.close();
      },
    };
  }
}

export interface OpenLog {
  readonly log: FileLog;
  readonly start: LogStart;
  readonly record: LogRecord;
  readonly node: Node;
}

/** A directory of one test. */
export class LogSite {
  readonly disk = new FaultyDisk();
  readonly directory: string;

  constructor(
    private readonly t: Test,
    private readonly options: Partial<FileLogOptions> = {},
  ) {
    const folder = mkdtempSync(join(FAST, 'megacomet-log-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    this.directory = join(folder, 'history');
  }

  make(options: Partial<FileLogOptions> = {}): FileLog {
    return new FileLog({
      directory: this.directory,
      sync: 'group',
      keepBytes: 64 * 1024 * 1024,
      keepAgeMs: 3_600_000,
      lock: (directory) => addon.lockFolder(directory),
      disk: this.disk,
      ...this.options,
      ...options,
    });
  }

  /** Opens a log, and reads it from a position. */
  async open(options: Partial<FileLogOptions> = {}, after = 0): Promise<OpenLog> {
    const log = this.make(options);
    this.t.teardown(() => log.close());
    const start = await log.open();
    const record = new LogRecord();
    const node = new Node(log, start, record);
    log.read(after, record);
    return { log, start, record, node };
  }

  /** Opens a log, and keeps the findings of its start. */
  async openWithReport(
    options: Partial<FileLogOptions> = {},
  ): Promise<OpenLog & { readonly report: OpenReport }> {
    const found: OpenReport[] = [];
    const open = await this.open({ ...options, onOpen: (report) => found.push(report) });
    const [report] = found;
    if (report === undefined) throw new Error('no report');
    return { ...open, report };
  }

  /** Writes a few entries in a log, and closes it; returns their texts. */
  async writeEntries(count: number): Promise<string[]> {
    const { log } = await this.open();
    const texts = Array.from({ length: count }, (_, index) => `entry ${index}`);
    for (const [index, text] of texts.entries()) {
      await log.append(Buffer.from(text), { node: 'n', count: index + 1 }, index);
    }
    await log.close();
    return texts;
  }

  /** The segments, oldest first. */
  get files(): string[] {
    const names = readdirSync(this.directory).filter((name) => name.endsWith('.log'));
    return names.sort().map((name) => join(this.directory, name));
  }
}
