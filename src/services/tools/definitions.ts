// Checks of a session's tools beyond the shapes of their fields: the schema must be checkable in linear time.
import { ApiError } from '../../contracts/errors.ts';
import { isCustomTool, TOOLS_BYTES_MAX, type ToolEntry } from '../../contracts/tools.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';
import type { UncheckedPattern } from '../../tools/json-schema/compile.ts';
import { WORK_MAX } from '../../tools/json-schema/limits.ts';
import type { StoredTool } from '../../views/tools.ts';

/** A tool that can be stored. */
export type ToolDefinition = Omit<StoredTool, 'created_at'>;

/** Longer paths are cut in warnings. */
const PATH_CHARS_MAX = 200;

const pathOf = (path: readonly (string | number)[]): string =>
  `parameters${path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('')}`;

/** The first unchecked pattern and the number of all, for the session's warnings. */
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

interface Sizes {
  work: number;
  bytes: number;
}

const sizesOf = ({ work, parameters_json }: ToolDefinition): Sizes => ({
  work: work ?? 0,
  bytes: Buffer.byteLength(parameters_json ?? ''),
});

/** The total that the tools of one session may use, however they are added. */
export function createToolBudget() {
  let workLeft = WORK_MAX;
  let bytesLeft = TOOLS_BYTES_MAX;

  return {
    spend(tool: ToolDefinition): void {
      const { work, bytes } = sizesOf(tool);
      workLeft -= work;
      bytesLeft -= bytes;
    },
    /** @throws ApiError when the budget is exceeded. @param prefix The path of the last tool. */
    check(prefix: string): void {
      const param = `${prefix}parameters`;
      const refuse = (limit: string): never => {
        const message =
          `The '${param}' field makes the schemas of this session's tools too large together: more than ${limit}. ` +
          'Use fewer tools or simpler schemas';
        throw new ApiError('invalid_request', message, { param });
      };
      if (workLeft < 0) refuse(`${WORK_MAX} schemas and parts of patterns`);
      if (bytesLeft < 0) refuse(`${TOOLS_BYTES_MAX} bytes as JSON`);
    },
  };
}

function checkedTool(entry: ToolEntry, checker: SchemaChecker, prefix: string): ToolDefinition {
  if (!isCustomTool(entry)) return { name: typeof entry === 'string' ? entry : entry.name };
  const { parameters, ...others } = entry;
  const found = checker.inspect(parameters);
  if (found.fault) {
    const param = prefix + pathOf(found.fault.path);
    throw new ApiError('invalid_request', `The '${param}' field ${found.fault.message}`, { param });
  }
  const { text, work, unchecked } = found;
  return { ...others, parameters_json: text, work, ...uncheckedOf(unchecked) };
}

/** A large schema takes tens of milliseconds twice: once to compile, once to translate. */
async function prepared(entry: ToolEntry, checker: SchemaChecker): Promise<void> {
  await checker.pace();
  if (!isCustomTool(entry)) return;
  checker.prepare(entry.parameters);
  await checker.pace();
}

/** @throws ApiError naming the field. */
export async function checkTool(entry: ToolEntry, checker: SchemaChecker): Promise<ToolDefinition> {
  await prepared(entry, checker);
  return checkedTool(entry, checker, '');
}

/** @throws ApiError naming the field of the entry, such as `tools[0].parameters`. */
export async function checkTools(entries: ToolEntry[], checker: SchemaChecker): Promise<ToolDefinition[]> {
  const budget = createToolBudget();
  const definitions: ToolDefinition[] = [];
  for (const [index, entry] of entries.entries()) {
    await prepared(entry, checker);
    const prefix = `tools[${index}].`;
    const definition = checkedTool(entry, checker, prefix);
    budget.spend(definition);
    budget.check(prefix);
    definitions.push(definition);
  }
  return definitions;
}
