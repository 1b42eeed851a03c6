/** What models need that answer to records: fetched by `bringTables` for those alone. */

export { recordEncoderFromJSON } from '../data/records.js'
export { savedTable, tablePartsOf } from '../io/model-table.js'
