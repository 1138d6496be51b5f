// The pinned tools in Python that `npm run fetch-schemathesis` has installed.
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const requirements = readFileSync(join(__dirname, 'requirements.txt'), 'utf8');
const version = /^schemathesis==(\S+)$/m.exec(requirements)?.[1];
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');

export const pythonTool = (name: 'python' | 'schemathesis'): string =>
  join(cacheDir, `schemathesis-${version}`, 'bin', name);
