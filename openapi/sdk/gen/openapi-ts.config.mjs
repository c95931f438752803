// What make generate runs @hey-api/openapi-ts with: INPUT is the document, OUTPUT the folder.
export default {
  input: process.env.INPUT,
  output: {
    path: process.env.OUTPUT,
    clean: true,
    header: '// Code generated from openapi.yaml by make generate. DO NOT EDIT.',
    module: {extension: '.js'},
  },
  plugins: [
    {name: '@hey-api/typescript', enums: false},
    {name: '@hey-api/client-fetch', throwOnError: true},
    {name: '@hey-api/sdk', responseStyle: 'data', operations: {strategy: 'single', containerName: 'Operations', methods: 'instance'}},
  ],
}
