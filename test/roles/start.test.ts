// What a process of a deployment needs it says in one sentence; and its database is brought up once, however many start.
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import pg from 'pg';
import { eventually } from '../support/api-client.ts';
import { itLong } from '../support/long.ts';
import { freePort } from '../support/ports.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { cleanUp, newDirectory, openclaw, spawnServer } from '../support/process.ts';

const AT_ONCE = 6;
/** A connection is given up after 3 s; the rest is for the start of the process on a busy machine. */
const TOLD_MS_MAX = 20_000;
/** Kysely's own; that this is the lock is what the test below shows. */
const LOCK_KEY = '3853314791062309107';

let postgres: TestPostgres;
let databases = 0;
beforeAll(async () => {
  const bin = findPostgres();
  if (!bin) throw new Error('PostgreSQL is not installed: apt-get install postgresql');
  postgres = await startPostgres(bin);
});
afterAll(async () => {
  await cleanUp();
  await postgres?.stop();
});

function newDatabase(): Promise<string> {
  databases += 1;
  return createDatabase(postgres.url, `start_${databases}`);
}

const migrate = (databaseUrl: string) => openclaw(['migrate'], { DATABASE_URL: databaseUrl });

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

describe('a process that is told too little', () => {
  const env = {
    DATABASE_URL: 'postgres://127.0.0.1:1/openclaw',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
    OPENCLAW_SECRET_KEY: 'a-secret-of-the-deployment',
  };
  const names = Object.keys(env) as (keyof typeof env)[];

  it.each(['api', 'worker'])('`%s` names all that it needs, in one sentence', async (role) => {
    const { code, stdout, stderr } = await openclaw([role], { OPENCLAW_LOG_LEVEL: 'silent' });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    for (const name of [role, ...names]) expect(stderr).toContain(name);
  });

  it('`migrate` names the database that it needs', async () => {
    const { code, stderr } = await openclaw(['migrate'], {});
    expect([code, stderr]).toEqual([2, '`openclaw migrate` needs DATABASE_URL (a postgres:// address)\n']);
  });

  it('`keys create` names the secret that a key is made with', async () => {
    const { code, stderr } = await openclaw(['keys', 'create', '--account', 'a', '--level', 'admin'], {
      DATABASE_URL: env.DATABASE_URL,
      OPENCLAW_DATA_DIR: newDirectory(),
    });
    expect(code).toBe(2);
    expect(stderr).toContain('OPENCLAW_SECRET_KEY');
  });
});

/** PostgreSQL's words while it reads its log after a crash: an ErrorResponse, and the end of the connection. */
function cannotConnectNow(): Buffer {
  const fields = ['SFATAL', 'C57P03', 'Mthe database system is starting up', ''].join('\0');
  const body = Buffer.from(`${fields}\0`);
  const head = Buffer.from('E\0\0\0\0');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Says to its first callers that the database is starting, and hands the later ones on to it. */
async function startsSlowly(refusals: number, port: number): Promise<{ server: Server; told: () => number }> {
  let told = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (told >= refusals) {
      const upstream = connect(port, '127.0.0.1');
      upstream.on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
      return;
    }
    told += 1;
    socket.once('data', () => socket.end(cannotConnectNow()));
  });
  const listening = await freePort();
  await new Promise<void>((resolve) => server.listen(listening, '127.0.0.1', resolve));
  return { server, told: () => told };
}

describe('what does not answer', () => {
  const silent = { OPENCLAW_SECRET_KEY: 'a-secret-of-the-deployment', OPENCLAW_LOG_LEVEL: 'silent' };

  it('a dead DATABASE_URL is told within seconds by its name, with the reason and without the password', async () => {
    const from = Date.now();
    const env = {
      ...silent,
      DATABASE_URL: 'postgres://openclaw:the-password@127.0.0.1:1/openclaw',
      TEMPORAL_ADDRESS: '127.0.0.1:1',
    };
    const { code, stderr } = await openclaw(['worker'], { ...env, PORT: String(await freePort()) });
    expect(Date.now() - from).toBeLessThan(TOLD_MS_MAX);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^DATABASE_URL: PostgreSQL at 127\.0\.0\.1:1\/openclaw .*\n *connect ECONNREFUSED/,
    );
    expect(stderr).not.toContain('the-password');
  });

  it('a database that says that it is starting is waited for', async () => {
    const address = new URL(await newDatabase());
    const { server, told } = await startsSlowly(3, postgres.port);
    address.port = String((server.address() as AddressInfo).port);
    const { code, stdout } = await migrate(address.href);
    server.close();
    expect({ code, told: told() }).toEqual({ code: 0, told: 3 });
    expect(stdout).toMatch(/^Migrated: /);
  });

  it('a dead TEMPORAL_ADDRESS is told within seconds by its name', async () => {
    const from = Date.now();
    const env = { ...silent, DATABASE_URL: await newDatabase(), TEMPORAL_ADDRESS: '127.0.0.1:1' };
    const { code, stderr } = await openclaw(['api'], { ...env, PORT: String(await freePort()) });
    expect(Date.now() - from).toBeLessThan(TOLD_MS_MAX);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^TEMPORAL_ADDRESS: Temporal at 127\.0\.0\.1:1 /);
  });
});

describe('migrate', () => {
  itLong('of many that start at once one does the work, and all of them find it done', async () => {
    const url = await newDatabase();
    const all = await Promise.all(Array.from({ length: AT_ONCE }, () => migrate(url)));
    expect(all.map(({ code, stderr }) => [code, stderr])).toEqual(all.map(() => [0, '']));
    const said = all.map(({ stdout }) => stdout);
    expect(said.filter((line) => line.startsWith('Migrated: 0001-spine'))).toHaveLength(1);
    expect(said.filter((line) => line === 'Nothing to migrate\n')).toHaveLength(AT_ONCE - 1);
  });

  itLong('one that is killed while it holds the lock does not keep the next from its work', async () => {
    const url = await newDatabase();
    const client = await connected(url);
    const locks = async (granted: boolean): Promise<number> => {
      const query =
        'select count(*)::int as count from pg_locks where locktype = $1 and granted = $2 and (classid::bigint << 32 | objid::bigint) = $3';
      return (await client.query(query, ['advisory', granted, LOCK_KEY])).rows[0].count;
    };
    // What it reads next, once it has its lock, is held from it.
    await client.query(
      'create table kysely_migration (name varchar(255) primary key, timestamp varchar(255))',
    );
    await client.query('begin');
    await client.query('lock table kysely_migration in access exclusive mode');
    const env = { DATABASE_URL: url };
    const victim = spawnServer({ role: 'migrate', port: await freePort(), env });
    await eventually(
      () => locks(true),
      (count) => count === 1,
    );
    const next = migrate(url);
    await eventually(
      () => locks(false),
      (count) => count === 1,
    );
    victim.kill('SIGKILL');
    await victim.exit;
    await client.query('rollback');
    expect(await next).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Migrated: 0001-spine/) });
    expect(await locks(true)).toBe(0);
    await client.end();
  });

  it('a database that a newer version has changed is refused in a sentence', async () => {
    const url = await newDatabase();
    await migrate(url);
    const client = await connected(url);
    await client.query("insert into kysely_migration (name, timestamp) values ('9999-later', '2027-01-01')");
    await client.end();
    const { code, stderr } = await migrate(url);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^A newer version of OpenClaw has changed this database \(9999-later\): start that/,
    );
  });
});
