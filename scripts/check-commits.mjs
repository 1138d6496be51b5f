// Checks the subjects of new commits against the form in CONTRIBUTING.md. Usage: check-commits.mjs [baseline]
import { spawnSync } from 'node:child_process';

/** Commits up to this baseline are older than the rule. */
const BASELINE = 'f3b01611ae5f';
const LENGTH_MAX = 72;

/** An optional scope such as `webhooks: ` or `tools, turns: `, then the first word. */
const FORM = /^(?:[a-z0-9][\w./-]*(?:, [\w./-]+)*: )?(?<word>[A-Za-z]+)(?= )/;
/** Git's own subject for a revert. */
const REVERT = /^Revert "/;

/** Past tenses, gerunds and third persons. Plural nouns match too. */
const NOT_IMPERATIVE = /(?:ed|ing|[^s]s)$/;
const IMPERATIVE = new Set(
  'bring embed exceed feed focus need ping proceed seed shed speed spring string succeed wring'.split(' '),
);
const OTHER_FORMS = new Set(
  [
    'a after all also an and as at because before by each every for from if in it more no not of on one other some that the',
    'there this to until what when whoever with without',
    'became began broke brought built came caught chose did done fell felt found gave given gone got grew had heard held kept',
    'knew known laid left lost made meant met moved said sent shown spoke stood taken taught thought told took went were wrote',
    'written',
  ]
    .join(' ')
    .split(' '),
);

function faultOf(subject) {
  if (subject.length > LENGTH_MAX)
    return `has ${subject.length} characters, at most ${LENGTH_MAX} are allowed`;
  if (REVERT.test(subject)) return null;
  const word = FORM.exec(subject)?.groups.word.toLowerCase();
  if (word === undefined) return 'must be `scope: verb ...` or `Verb ...`';
  const isImperative = IMPERATIVE.has(word) || !(NOT_IMPERATIVE.test(word) || OTHER_FORMS.has(word));
  return isImperative ? null : `begins with "${word}": use the imperative, such as add, fix, remove`;
}

function git(...args) {
  const { status, stdout, stderr, error } = spawnSync('git', args, { encoding: 'utf8' });
  const [reason = ''] = (error?.message ?? stderr).split('\n');
  return { isDone: status === 0, stdout, reason };
}

const baseline = process.argv[2] ?? BASELINE;
const known = git('merge-base', '--is-ancestor', baseline, 'HEAD');
if (!known.isDone) {
  // An archive or a shallow clone. Other checkouts check these commits.
  const reason = known.reason || `HEAD does not descend from ${baseline}`;
  console.log(`Commit subjects are not checked: this checkout has no history since ${baseline} (${reason})`);
  process.exit(0);
}

const log = git('log', '--no-merges', '--format=%h %s', `${baseline}..HEAD`);
if (!log.isDone) throw new Error(log.reason);
const commits = log.stdout.split('\n').filter((line) => line !== '');
const faults = commits.flatMap((line) => {
  const [, hash, subject] = /^(\S+) (.*)$/.exec(line);
  const fault = faultOf(subject);
  return fault === null ? [] : [`${hash} ${subject}\n  ${fault}`];
});
for (const fault of faults) console.error(fault);
console.log(`${commits.length} commits, ${faults.length} subjects to reword`);
process.exitCode = faults.length === 0 ? 0 : 1;
