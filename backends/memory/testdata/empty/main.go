// A program that does nothing, to compare with.
package main

func main() {}
