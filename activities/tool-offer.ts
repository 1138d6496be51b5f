// The tools offered to the model in a step, and the check of its calls: accepted, or refused with a text.
import { stringifyJson } from '../src/contracts/json.ts';
import { isCustomTool, type ToolEntry } from '../src/contracts/tools.ts';
import type { ModelBlock, ModelTool } from '../src/models/port.ts';
import type { SessionRow } from '../src/stores/schema.ts';
import type { SchemaChecker } from '../src/tools/json-schema/checker.ts';
import type { ToolRegistry } from '../src/tools/registry.ts';
import type { PreparedCall } from '../src/turns/tool-calls.ts';
import { type StoredTool, toolsOf } from '../src/views/tools.ts';

/** Calls per step. Calls beyond the bound are refused with a text and never run. */
const CALLS_PER_STEP_MAX = 64;

const ANY_OBJECT = stringifyJson({ type: 'object', properties: {} });

export interface ToolOffer {
  tools: ModelTool[];
  /** Checks the calls of a reply, in their order. */
  prepare(blocks: ModelBlock[]): Promise<PreparedCall[]>;
}

const isCall = (block: ModelBlock): boolean => block.type === 'tool_use';

/** Lists every possible fault, because the adapter keeps the beginning of the input but not the reason. */
const UNREADABLE =
  'Unreadable input: it must be a JSON object of at most 64 levels, with numbers between -1.8e308 and 1.8e308. Call the tool again with such an object.';

/** The adapter's copy of an input that isn't a JSON object. */
const brokenInput = ({ invalid_input_json }: ModelBlock): string | undefined =>
  typeof invalid_input_json === 'string' ? invalid_input_json : undefined;

type Checked = Pick<PreparedCall, 'parameters' | 'refusal'>;

export function createToolOffers({ checker, registry }: { checker: SchemaChecker; registry: ToolRegistry }) {
  /** The tool as the model may call it. Undefined for a built-in tool that can't run here. */
  function offered(tool: StoredTool): StoredTool | undefined {
    if (isCustomTool(tool as ToolEntry)) return tool;
    const builtIn = registry.find(tool.name);
    if (!builtIn?.available) return undefined;
    const { description, inputSchema } = builtIn;
    return { ...tool, description, parameters_json: stringifyJson(inputSchema) };
  }

  const toModelTool = ({ name, description, parameters_json }: StoredTool): ModelTool => ({
    name,
    description: description ?? '',
    inputSchema: checker.wireOf(parameters_json ?? ANY_OBJECT).inputSchema,
  });

  function check(block: ModelBlock, tool: StoredTool | undefined, known: string[]): Checked {
    const input = (block.input ?? {}) as Record<string, unknown>;
    const refuse = (refusal: string, parameters = input): Checked => ({ parameters, refusal });
    if (!tool)
      return refuse(`There is no tool '${block.name}'. The tools are: ${known.join(', ') || 'none at all'}.`);
    if (brokenInput(block) !== undefined) return refuse(UNREADABLE);
    const checked = checker.applyWire(tool.parameters_json ?? ANY_OBJECT, input);
    if (!checked.ok)
      return refuse(`The input does not fit the tool's schema: ${checked.message}`, checked.value);
    return { parameters: checked.value, refusal: null };
  }

  function prepared(block: ModelBlock, index: number, tools: StoredTool[]): PreparedCall {
    const known = tools.map(({ name }) => name);
    const tool = tools.find(({ name }) => name === block.name);
    const checked = check(block, tool, known);
    const refusal =
      index < CALLS_PER_STEP_MAX
        ? checked.refusal
        : `At most ${CALLS_PER_STEP_MAX} tools can be called at once. Call it again later.`;
    return {
      providerId: String(block.id),
      name: String(block.name),
      type: tool && !isCustomTool(tool as ToolEntry) ? 'builtin' : 'custom',
      parameters: checked.parameters,
      refusal,
      timeoutSeconds: tool?.timeout_seconds ?? null,
      onTimeout: tool?.on_timeout ?? 'error',
    };
  }

  /** Processes items one by one with pauses, so other work runs in between. */
  async function paced<Item, Made>(
    items: Item[],
    make: (item: Item, index: number) => Made,
  ): Promise<Made[]> {
    const made: Made[] = [];
    for (const [index, item] of items.entries()) {
      await checker.pace();
      made.push(make(item, index));
    }
    return made;
  }

  return async function offer(session: SessionRow): Promise<ToolOffer> {
    const tools = toolsOf(session).flatMap((tool) => offered(tool) ?? []);
    return {
      tools: await paced(tools, toModelTool),
      prepare: (blocks) => paced(blocks.filter(isCall), (block, index) => prepared(block, index, tools)),
    };
  };
}
