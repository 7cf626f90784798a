package main

// Each error carries the flags of its own request.
func Example() {
	main()
	// Output:
	// outside of any request   no flags
	// search failed for ada    {"values":[{"flag":"vector-search","result":true},{"flag":"rerank-results","result":true}]}
	// search failed for grace  {"values":[{"flag":"vector-search","result":false}]}
	// search failed for joan   {"values":[{"flag":"vector-search","result":true},{"flag":"rerank-results","result":true}]}
	// search failed for mary   {"values":[{"flag":"vector-search","result":false}]}
}
