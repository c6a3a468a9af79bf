// The path of Node.js for a service: a path that an update of Node.js keeps.
import { realpathSync } from 'node:fs';
import path from 'node:path';

/** A version in a path, such as /opt/node-v20.20.2/bin/node. */
const VERSIONED = /\d+\.\d+\.\d+/;

function resolved(file: string): string | null {
  try {
    return realpathSync(file);
  } catch {
    return null;
  }
}

/**
 * A path without a version that leads to the running Node.js, such as a link in a folder of PATH;
 * else the path of the program itself, with a warning.
 *
 * @param folders - The value of PATH.
 */
export function stableNodePath(
  execPath: string,
  folders: string,
): { file: string; warning: string | null } {
  if (!VERSIONED.test(execPath)) return { file: execPath, warning: null };
  const name = path.basename(execPath);
  const link = folders
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, name))
    .find((file) => !VERSIONED.test(file) && resolved(file) === resolved(execPath));
  if (link !== undefined) return { file: link, warning: null };
  const warning = `${execPath} has a version in its path: run install-service again after an update of Node.js`;
  return { file: execPath, warning };
}
