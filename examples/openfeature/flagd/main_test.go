package main

// A flag that does not exist is on the error too, with the default.
func Example() {
	main()
	// Output:
	// playback failed for ada [{new-player true} {autoplay true} {not-in-flagd false}]
	// playback failed for grace [{new-player false} {autoplay true} {not-in-flagd false}]
}
