// The refusals of the Messages API, worded closely to the original.

/** A request the real API would refuse, with its status. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws {RefusedError} 400. The message starts with the place of the fault. */
export function refuse(place: string, message: string): never {
  throw new RefusedError(400, `${place}: ${message}`);
}
