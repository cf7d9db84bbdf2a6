import { StreamError } from '../../core/errors.ts'

/** The part of `avsc` that is used here, so that no type of the package shows in ours. */
export interface AvscType {
  readonly typeName: string
  readonly branchName: string | undefined
  /** The position behind the value, or minus the bytes that are missing. */
  encode(value: unknown, buffer: Buffer, position: number): number
  decode(buffer: Buffer, position: number, resolver?: AvscResolver): { value: unknown; offset: number }
  createResolver(writer: AvscType, options?: object): AvscResolver
  isValid(value: unknown, options?: { errorHook?: (path: string[], value: unknown, type: AvscType) => void }): boolean
}

export type AvscResolver = object

/** A logical type in the sense of the package: converts on the way in and out of an underlying type. */
export interface AvscLogicalType extends AvscType {
  readonly underlyingType: AvscType
}

export type AvscTypeClass<Type extends AvscType = AvscType> = new (schema: object, options: object) => Type

export interface AvscLongMethods {
  readonly fromBuffer: (bytes: Buffer) => unknown
  readonly toBuffer: (value: any) => Buffer
  readonly fromJSON: (value: any) => unknown
  readonly toJSON: (value: any) => unknown
  readonly isValid: (value: unknown) => boolean
  readonly compare: (left: any, right: any) => number
}

export interface Avsc {
  readonly Type: { forSchema(schema: unknown, options?: object): AvscType }
  readonly types: {
    readonly LogicalType: AvscTypeClass<AvscLogicalType>
    readonly EnumType: AvscTypeClass
    readonly StringType: AvscTypeClass
    readonly FloatType: AvscTypeClass
    readonly DoubleType: AvscTypeClass
    readonly WrappedUnionType: AvscTypeClass
    readonly UnwrappedUnionType: AvscTypeClass
    readonly LongType: AvscTypeClass & { __with(methods: AvscLongMethods, noUnpack?: boolean): AvscType }
  }
}

let loading: Promise<Avsc> | undefined

/** Loads the peer once. Throws `peer-missing` with the command that installs it. */
export function loadAvsc(): Promise<Avsc> {
  loading ??= load(() => import('avsc')).catch((error: unknown) => {
    // A later bind may find it: it can be installed while the process runs.
    loading = undefined
    throw error
  })
  return loading
}

/** `importer` is the import itself, handed in so that its failure can be tested. */
export async function load(importer: () => Promise<unknown>): Promise<Avsc> {
  let module: unknown
  try {
    module = await importer()
  } catch (error) {
    throw new StreamError('peer-missing', "avro() needs the package 'avsc': npm install avsc@5", { cause: error })
  }
  const avsc = ((module as { default?: unknown }).default ?? module) as Avsc
  if (typeof avsc.Type?.forSchema !== 'function' || typeof avsc.types?.LongType?.__with !== 'function')
    throw new StreamError('peer-missing', "the installed 'avsc' is not one that avro() knows: npm install avsc@5")
  return avsc
}
