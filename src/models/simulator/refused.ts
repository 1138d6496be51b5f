// The refusals of the Messages API, worded closely to the original.

/** A request that the real API answers with this status. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @throws {RefusedError} 400 with the place of the fault before the message. */
export function refuse(place: string, message: string): never {
  throw new RefusedError(400, `${place}: ${message}`);
}
