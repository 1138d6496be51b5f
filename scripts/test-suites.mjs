// The checks and suites of `npm test`, in order. A test file belongs to the first suite with its folder. `units` takes the rest.
// `*.long.test.ts` runs only with TEST_LONG=1.

/** A suite over its budget is killed and named. Each budget leaves room for a busy machine. */
const BUDGETS_TOGETHER_MINUTES_MAX = 49;

/** `npm run check`, step by step. */
export const CHECKS = [
  { name: 'format and lint', script: 'lint', budgetMinutes: 0.25 },
  { name: 'types', script: 'types', budgetMinutes: 1 },
  { name: 'rooms', script: 'rooms', budgetMinutes: 0.5 },
  { name: 'dead code', script: 'dead-code', budgetMinutes: 0.25 },
  { name: 'lockfile', script: 'lockfile', budgetMinutes: 0.25 },
  { name: 'commit subjects', script: 'commits', budgetMinutes: 0.1 },
];

/**
 * No suite can run without the build. Some suites need the other preparations. The network bounds a fetch, so no suite's budget
 * pays for it.
 */
export const PREPARATIONS = {
  build: { name: 'build', script: 'build', budgetMinutes: 0.5 },
  temporal: { name: 'temporal', script: 'fetch-temporal', budgetMinutes: 1 },
  schemathesis: { name: 'python tools', script: 'fetch-schemathesis', budgetMinutes: 0.5 },
  newerNode: { name: 'newer Node', script: 'fetch-node', budgetMinutes: 1 },
  goTools: { name: 'go tools', script: 'fetch-go-tools', budgetMinutes: 2 },
};

/**
 * `temporal: false`: the suite needs no shared Temporal server, so none is started for it.
 * `workers`: the number of processes for its files. Use 1 if the suite's own processes load both cores, or if it measures the
 * effect of other load on a call.
 * `schemathesis: true`, `goTools: true`, `newerNode: true`: the suite runs this tool.
 * `redis: true`: the suite starts its own Redis.
 * `sameAs`: runs the files of another suite again on another `database`.
 */
export const SUITES = [
  { name: 'models', folders: ['models'], temporal: false, workers: 2, budgetMinutes: 1 },
  { name: 'http', folders: ['http'], temporal: false, workers: 2, budgetMinutes: 1.5, longBudgetMinutes: 4 },
  {
    name: 'stores',
    folders: ['stores', 'turns'],
    temporal: false,
    workers: 2,
    budgetMinutes: 2,
    longBudgetMinutes: 3,
  },
  {
    name: 'stores-postgres',
    sameAs: 'stores',
    database: 'postgres',
    temporal: false,
    workers: 2,
    budgetMinutes: 3,
    longBudgetMinutes: 3,
  },
  {
    name: 'workflows',
    folders: ['workflows', 'activities', 'temporal'],
    workers: 2,
    budgetMinutes: 3.5,
    longBudgetMinutes: 15,
  },
  { name: 'api', folders: ['api', 'guide'], workers: 2, budgetMinutes: 8, longBudgetMinutes: 12 },
  { name: 'security', folders: ['security'], budgetMinutes: 2.5, longBudgetMinutes: 10 },
  {
    name: 'schemathesis',
    folders: ['schemathesis'],
    temporal: false,
    schemathesis: true,
    goTools: true,
    budgetMinutes: 2.5,
    longBudgetMinutes: 30,
  },
  {
    name: 'start',
    folders: ['start'],
    temporal: false,
    workers: 2,
    budgetMinutes: 3.5,
    longBudgetMinutes: 6,
  },
  {
    name: 'newer-node',
    folders: ['newer-node'],
    database: 'postgres',
    temporal: false,
    newerNode: true,
    budgetMinutes: 1,
  },
  {
    name: 'roles',
    folders: ['roles', 'redis'],
    temporal: false,
    redis: true,
    budgetMinutes: 4,
    longBudgetMinutes: 15,
  },
  {
    name: 'links',
    folders: ['links'],
    temporal: false,
    redis: true,
    goTools: true,
    budgetMinutes: 1.5,
    longBudgetMinutes: 20,
  },
  { name: 'durability', folders: ['durability'], budgetMinutes: 5.5, longBudgetMinutes: 75 },
  { name: 'gates', folders: ['gates'], temporal: false, workers: 2, budgetMinutes: 0.5 },
  { name: 'units', folders: [''], workers: 2, budgetMinutes: 1, longBudgetMinutes: 10 },
];

const together = [...CHECKS, ...Object.values(PREPARATIONS), ...SUITES].reduce(
  (sum, { budgetMinutes }) => sum + budgetMinutes,
  0,
);
if (together > BUDGETS_TOGETHER_MINUTES_MAX)
  throw new Error(
    `The budgets are ${together} minutes together, at most ${BUDGETS_TOGETHER_MINUTES_MAX} are allowed`,
  );
