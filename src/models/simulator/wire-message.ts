// Messages as a request to the Messages API holds them.

export interface WireBlock extends Record<string, unknown> {
  type: string;
}

export interface WireMessage {
  role: 'user' | 'assistant';
  content: WireBlock[];
}
