export { examine, type DoctorConfig } from './examine.ts'
export type { Finding, Severity } from './finding.ts'
