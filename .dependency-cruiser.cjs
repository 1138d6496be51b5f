// Who may import whom: the layer rule of CONTRIBUTING.md, held by `npm run check`. Each rule says why it is there.
// A type-only import ties two rooms together at compile time only; where a rule allows it, its comment says so.

const SOURCES = '^(src|workflows|activities)/';
const TEMPORAL = (names) => `node_modules/@temporalio/(${names})/`;

module.exports = {
  forbidden: [
    {
      name: 'contracts-are-a-leaf',
      comment:
        'The schemas are the API: server, OpenAPI and clients derive from them, so they may depend on nothing but zod. json.ts is ' +
        'how their values are read and written.',
      from: { path: '^src/contracts/' },
      to: { pathNot: ['^src/contracts/', 'node_modules/(zod|lossless-json)/'] },
    },
    {
      name: 'numbers-are-unwrapped-at-one-place',
      comment: 'What a number that keeps its digits looks like is known to src/contracts/json.ts alone.',
      from: { path: SOURCES, pathNot: ['^src/contracts/json\\.ts$'] },
      to: { path: 'node_modules/lossless-json/' },
    },
    {
      name: 'workflows-run-no-io',
      comment:
        'Workflow code is replayed for years: what it runs must be deterministic and small. Types cost nothing there, so the ' +
        'types of activities and contracts are allowed; zod as a value would nearly double the bundle.',
      from: { path: '^workflows/' },
      to: { pathNot: ['^workflows/', TEMPORAL('workflow|common')], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'workflows-know-activities-and-contracts',
      comment:
        'Even as types, a workflow knows what it calls and what the API says, and no room behind them.',
      from: { path: '^workflows/' },
      to: { pathNot: ['^workflows/', '^activities/', '^src/contracts/', TEMPORAL('workflow|common')] },
    },
    {
      name: 'http-calls-services',
      comment:
        'Routes translate between HTTP and the services; rules, rows and Temporal lie behind services/ports.ts.',
      from: { path: '^src/http/' },
      to: {
        path: SOURCES,
        pathNot: [
          '^src/(http|contracts)/',
          '^src/(ids|log)\\.ts$',
          '^src/services/ports\\.ts$',
          '^src/models/',
        ],
      },
    },
    {
      name: 'http-is-handed-its-services',
      comment: 'The composition root makes the services and hands them over: http knows their types only.',
      from: { path: '^src/http/' },
      to: { path: '^src/(services|models)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'services-know-no-http',
      comment: 'The rules of a resource hold for every caller: routes, sockets, the sweep, the command line.',
      from: { path: '^src/services/' },
      to: {
        path: [
          '^src/http/',
          '^https?$',
          'node_modules/(@types/)?(express|express-serve-static-core|helmet)/',
        ],
      },
    },
    {
      name: 'services-reach-temporal-through-the-engine',
      comment: 'services/engine.ts is all that the rules know of Temporal; src/temporal implements it.',
      from: { path: '^src/services/' },
      to: { path: ['^src/temporal/', '^activities/', '^workflows/(?!protocol\\.ts$)'] },
    },
    {
      name: 'stores-know-no-services',
      comment:
        'A store keeps rows; what they mean is decided above. So another database is one more folder here. workflows/protocol.ts is ' +
        'names and shapes: the outbox holds signals.',
      from: { path: '^src/stores/' },
      to: {
        path: SOURCES,
        pathNot: ['^src/(stores|contracts)/', '^src/(ids|sqlite-library)\\.ts$', '^workflows/protocol\\.ts$'],
      },
    },
    {
      name: 'turns-only-stores-views-models',
      comment:
        'The protocol of a turn is transactions: API and activities both call it, so it may know neither. ' +
        'workflows/protocol.ts is names and shapes.',
      from: { path: '^src/turns/' },
      to: {
        path: SOURCES,
        pathNot: [
          '^src/(turns|stores|views|models|contracts)/',
          '^src/ids\\.ts$',
          '^workflows/protocol\\.ts$',
        ],
      },
    },
    {
      name: 'views-only-translate',
      comment:
        'A view turns rows into what the API shows: pure, so that API, log and webhooks show the same.',
      from: { path: '^src/views/' },
      to: { path: SOURCES, pathNot: ['^src/(views|stores|models|tools|contracts)/'] },
    },
    {
      name: 'models-and-tools-stand-alone',
      comment:
        'Adapters to the outside know their port and the contracts; nothing about sessions, rows or Temporal.',
      from: { path: '^src/(models|tools)/' },
      to: { path: SOURCES, pathNot: ['^src/(models|tools|contracts)/', '^src/ids\\.ts$'] },
    },
    {
      name: 'egress-stands-alone',
      comment:
        'What may be dialled for somebody else is decided from addresses alone, for every caller alike: it knows no row and no caller.',
      from: { path: '^src/egress/' },
      to: { path: SOURCES, pathNot: ['^src/egress/'] },
    },
    {
      name: 'webhooks-send-rows',
      comment: 'Sending knows rows and the way out; who asks for it, and how it is waited for, lies above.',
      from: { path: '^src/webhooks/' },
      to: { path: SOURCES, pathNot: ['^src/(webhooks|egress|stores|contracts)/', '^src/ids\\.ts$'] },
    },
    {
      name: 'only-egress-calls-out-for-others',
      comment: 'An address that somebody else has named is called through the guard, or not at all.',
      from: { path: SOURCES, pathNot: ['^src/(egress|models)/'] },
      to: { path: 'node_modules/undici/' },
    },
    {
      name: 'one-temporal-client-room',
      comment:
        'Only src/temporal starts, signals, queries and works; else nobody could say who moves a session.',
      from: { path: SOURCES, pathNot: ['^src/temporal/', '^src/wiring(\\.ts$|/)'] },
      to: { path: TEMPORAL('client|worker|testing|core-bridge|proto') },
    },
    {
      name: 'temporal-is-configured-in-config',
      comment:
        'The official TEMPORAL_* variables are environment, and src/config.ts alone reads the environment.',
      from: { path: SOURCES, pathNot: ['^src/config\\.ts$'] },
      to: { path: TEMPORAL('envconfig') },
    },
    {
      name: 'activities-alone-know-their-context',
      comment:
        'Heartbeats and cancellation belong to the activity; what it calls takes a signal and a callback.',
      from: { path: SOURCES, pathNot: ['^activities/'] },
      to: { path: TEMPORAL('activity') },
    },
    {
      name: 'adapters-are-picked-in-wiring-and-commands',
      comment:
        'Who names an adapter cannot be given another one. Tests may pick, too. stores/open.ts picks by address, so it is itself ' +
        'something to be picked.',
      from: {
        path: SOURCES,
        pathNot: ['^src/wiring(\\.ts$|/)', '^src/commands/', '^src/stores/open\\.ts$', '^src/redis/'],
      },
      to: {
        path: [
          '^src/stores/(open|sqlite|postgres)\\.ts$',
          '^src/models/anthropic\\.ts$',
          '^src/models/simulator\\.ts$',
          '^src/redis/',
        ],
      },
    },
    {
      name: 'drivers-stay-in-their-adapters',
      comment:
        'A driver outside of its adapter is a second adapter that nobody picked. better-sqlite3 is loaded at one place, and lazily.',
      from: {
        path: SOURCES,
        pathNot: [
          '^src/stores/(sqlite|sqlite-writer|postgres)\\.ts$',
          '^src/sqlite-library\\.ts$',
          '^src/models/',
          '^src/redis/connection\\.ts$',
        ],
      },
      to: {
        path: 'node_modules/(@types/better-sqlite3|better-sqlite3|@types/pg|pg|ioredis|@anthropic-ai/sdk)/',
      },
    },
    {
      name: 'nobody-imports-the-composition-root',
      comment: 'What imports the wiring depends on everything. Only the command line starts it.',
      from: { path: SOURCES, pathNot: ['^src/(main\\.ts$|commands/|wiring(\\.ts$|/))'] },
      to: { path: ['^src/wiring(\\.ts$|/)', '^src/main\\.ts$', '^src/commands/'] },
    },
    {
      name: 'no-cycles',
      comment: 'Two files that need each other are one file, or hide a third.',
      from: { path: SOURCES },
      to: { circular: true },
    },
    {
      name: 'not-to-test',
      comment: 'The product runs without its tests; a production install does not have them.',
      from: { path: SOURCES },
      to: { path: '^test/' },
    },
    {
      name: 'not-to-dev-dependencies',
      comment: 'A production install does not have them either. Types are erased by the build.',
      from: { path: SOURCES },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'every-import-resolves',
      comment: 'An import that the checker cannot resolve would slip through every rule above.',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
