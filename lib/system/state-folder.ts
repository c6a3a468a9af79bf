// The folder in which a server keeps its files for the next start.
import { homedir } from 'node:os';
import path from 'node:path';

/** Of a server that root starts, and of the service: StateDirectory=megacomet. */
const SYSTEM_FOLDER = '/var/lib/megacomet';

/**
 * The folder: that of the service (systemd.exec(5), StateDirectory=), or of the user (XDG Base
 * Directory Specification). Null without a home.
 */
export function stateFolderOf(env: NodeJS.ProcessEnv, uid: number): string | null {
  const [ofService = ''] = (env['STATE_DIRECTORY'] ?? '').split(':');
  if (path.isAbsolute(ofService)) return ofService;
  const ofUser = env['XDG_STATE_HOME'] ?? '';
  if (path.isAbsolute(ofUser)) return path.join(ofUser, 'megacomet');
  if (uid === 0) return SYSTEM_FOLDER;
  const home = env['HOME'] ?? homeOf();
  return path.isAbsolute(home) ? path.join(home, '.local/state/megacomet') : null;
}

/** The home in the database of users; empty for a user without an account. */
function homeOf(): string {
  try {
    return homedir();
  } catch {
    return '';
  }
}
