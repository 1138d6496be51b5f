// Why the Messages API would refuse the messages of a request, as far as our own bookkeeping decides it.
export type Block = Record<string, any>;
export interface Message {
  role: string;
  content: Block[];
}

const isBlank = (value: unknown): boolean => String(value ?? '').trim() === '';

/** What is wrong with a block of each type; null when nothing is. */
const FAULTS: Record<string, (block: Block) => string | null> = {
  text({ text, citations }) {
    if (isBlank(text)) return 'blank text';
    const isKnown = ({ type }: Block) =>
      /^(char|page|content_block|(web_)?search_result)_location$/.test(type);
    return (citations ?? []).every(isKnown) ? null : 'text.citations: the type of a citation is not known';
  },
  thinking: ({ signature }) => (signature ? null : 'thinking.signature: Field required'),
  tool_result: ({ content }) => (isBlank(content) ? 'content cannot be empty if `is_error` is true' : null),
  server_tool_use: ({ id }) => (/^srvtoolu_[a-zA-Z0-9_]+$/.test(String(id)) ? null : 'server_tool_use.id'),
  tool_use({ id, name, input }) {
    if (!/^[a-zA-Z0-9_-]+$/.test(String(id))) return 'tool_use.id';
    if (!/^[a-zA-Z0-9_-]{1,200}$/.test(String(name))) return 'tool_use.name';
    return Array.isArray(input) || typeof input !== 'object' ? 'tool_use.input' : null;
  },
};

function messageFault({ role, content }: Message, next: Message | undefined): string | null {
  if (content.length === 0) return 'content is empty';
  if (content.at(-1)?.type === 'thinking') return 'the last block is a thought';
  const fault = content.map((block) => FAULTS[block.type]?.(block) ?? null).find((each) => each !== null);
  if (fault) return fault;
  const called = role === 'assistant' ? content.filter(({ type }) => type === 'tool_use') : [];
  const results = (next?.content ?? []).filter(({ type }) => type === 'tool_result');
  const answered = results.map(({ tool_use_id }) => tool_use_id).sort();
  const isPaired = JSON.stringify(answered) === JSON.stringify(called.map(({ id }) => id).sort());
  return isPaired ? null : 'each `tool_use` needs its `tool_result` in the next message';
}

/** @returns null when the messages would be taken. */
export function refusalOf(messages: Message[]): string | null {
  const uses = messages.flatMap(({ content }) => content.filter(({ type }) => type.endsWith('tool_use')));
  if (messages[0]?.role !== 'user') return 'the first message is not from a user';
  if (new Set(uses.map(({ id }) => id)).size < uses.length) return '`tool_use` ids must be unique';
  const faults = messages.map((message, index) => messageFault(message, messages[index + 1]));
  const index = faults.findIndex((fault) => fault !== null);
  return index < 0 ? null : `messages.${index}: ${faults[index]}`;
}
