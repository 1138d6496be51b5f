// What a session may define as a tool beyond what the shapes of its fields say: a schema that can be checked in linear time.
import { ApiError } from '../../contracts/errors.ts';
import { isCustomTool, type ToolEntry } from '../../contracts/tools.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import type { UncheckedPattern } from '../../tools/json-schema/compile.ts';
import { WORK_PER_REQUEST_MAX } from '../../tools/json-schema/limits.ts';
import type { StoredTool } from '../../views/tools.ts';

/** A tool that can be stored. */
export type ToolDefinition = Omit<StoredTool, 'created_at'>;

/** Longer paths are cut in warnings. */
const PATH_CHARS_MAX = 200;

const pathOf = (path: readonly (string | number)[]): string =>
  `parameters${path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')}`;

/** The first pattern that is not checked and the number of all, for the session's warnings. */
const uncheckedOf = ([first, ...others]: UncheckedPattern[]): Pick<ToolDefinition, 'unchecked_patterns'> =>
  first === undefined
    ? {}
    : {
        unchecked_patterns: {
          first: pathOf(first.path).slice(0, PATH_CHARS_MAX).toWellFormed(),
          reason: first.reason,
          count: 1 + others.length,
        },
      };

/** The tools of one request share one budget of work. */
function createToolCheck(checker: SchemaChecker) {
  let workLeft = WORK_PER_REQUEST_MAX;

  return function checked(entry: ToolEntry, prefix: string): ToolDefinition {
    if (!isCustomTool(entry)) return { name: typeof entry === 'string' ? entry : entry.name };
    const refuse = (field: string, message: string): never => {
      const param = prefix + field;
      throw new ApiError('invalid_request', `The '${param}' field ${message}`, { param });
    };
    const found = checker.inspect(entry.parameters);
    if (found.fault) return refuse(pathOf(found.fault.path), found.fault.message);
    workLeft -= found.work;
    if (workLeft < 0)
      refuse(
        'parameters',
        `makes the schemas of this request too large together: more than ${WORK_PER_REQUEST_MAX} schemas and parts of ` +
          'patterns. Send fewer tools at once, or simpler schemas',
      );
    return { ...entry, ...uncheckedOf(found.unchecked) };
  };
}

/** A large schema takes tens of milliseconds twice: to be compiled, and to be translated. */
async function prepared(entry: ToolEntry, checker: SchemaChecker): Promise<void> {
  await checker.pace();
  if (!isCustomTool(entry)) return;
  checker.prepare(entry.parameters);
  await checker.pace();
}

/** @throws ApiError naming the field. */
export async function checkTool(entry: ToolEntry, checker: SchemaChecker): Promise<ToolDefinition> {
  await prepared(entry, checker);
  return createToolCheck(checker)(entry, '');
}

/** @throws ApiError naming the field of the entry, such as `tools[0].parameters`. */
export async function checkTools(entries: ToolEntry[], checker: SchemaChecker): Promise<ToolDefinition[]> {
  const checked = createToolCheck(checker);
  const definitions: ToolDefinition[] = [];
  for (const [index, entry] of entries.entries()) {
    await prepared(entry, checker);
    definitions.push(checked(entry, `tools[${index}].`));
  }
  return definitions;
}
