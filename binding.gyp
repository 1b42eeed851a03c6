{
  # For prebuildify and node-gyp alone: everything is said in CMakeLists.txt.
  "targets": [
    {
      "target_name": "wengert",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_js",
          "inputs": [
            "CMakeLists.txt",
            "scripts/build-native.mjs",
            "native/exports.map",
            "native/sources.txt",
            "<!@(node -p \"require('fs').readFileSync('native/sources.txt', 'utf8').split(/\\s+/).filter(Boolean).join(' ')\")",
          ],
          "outputs": ["<(PRODUCT_DIR)/wengert.node"],
          "action": ["node", "scripts/build-native.mjs", "--out", "<(PRODUCT_DIR)/wengert.node"],
        }
      ],
    }
  ]
}
