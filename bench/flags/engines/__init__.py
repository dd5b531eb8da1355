"""The engines, each as a program that asks itself many times and prints what that costs."""
