/**
 * The part of Standard Schema (standardschema.dev, version 1) that is used here: what zod, Valibot, ArkType and others
 * implement. The specification asks to be copied, so that no package is needed for its types.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': StandardProperties<Input, Output>
}

export interface StandardProperties<Input, Output> {
  readonly version: 1
  readonly vendor: string
  readonly types?: { readonly input: Input; readonly output: Output } | undefined
  readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** A validator that can say what it takes as JSON Schema (StandardJSONSchemaV1). */
export interface JsonSchemaSource {
  readonly jsonSchema: {
    readonly input: (options: { readonly target: string }) => Record<string, unknown>
  }
}

/** What the validator takes. */
export type InputOf<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input']

/** What the validator gives. */
export type OutputOf<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output']
